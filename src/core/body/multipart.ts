/**
 * Finding the `model` field of a multipart/form-data body (RFC 7578, RFC 2046 §5.1), as audio and
 * file endpoints send it, without copying or decoding the files beside it.
 *
 * Where readers of multipart could come to different results (a field or parameter twice), the body
 * is refused: the engine must not see another model than the proxy.
 */
import { Buffer } from "node:buffer";
import { ProxyError } from "../errors.ts";

const MAX_PARTS = 1000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_MODEL_BYTES = 4096;

const DASH = 0x2d;
const CR = 0x0d;
const LF = 0x0a;
const HEADER = /^[-!#$%&'*+.^`|~\w]+:/;
const PARAMETER = /\s*;\s*([-!#$%&'*+.^`|~\w]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";]*))/y;
/** RFC 2046's boundary characters. */
const BOUNDARY = /^[\w'()+,./:=? -]{0,69}[\w'()+,./:=?-]$/;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The form field `model`: its value, and where it stands in the body, the end exclusive. */
export interface ModelField {
  readonly model: string;
  readonly start: number;
  readonly end: number;
}

/**
 * The form field `model`; null when the body has none.
 *
 * @param contentType The request's Content-Type, which names the boundary.
 * @throws ProxyError invalid_request when the body is malformed, has more than 1,000 parts, or has
 * `model` twice or longer than 4,096 bytes.
 */
export function multipartModel(body: Uint8Array, contentType: string): ModelField | null {
  const boundary = boundaryOf(contentType);
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  const delimiter = Buffer.from(`\r\n--${boundary}`, "latin1");
  let field: ModelField | null = null;
  let part = findDelimiter(bytes, delimiter, -2);
  for (let count = 0; !part.isLast; count++) {
    if (count === MAX_PARTS) throw malformed(`has more than ${MAX_PARTS} parts`);
    const headersEnd = bytes.indexOf("\r\n\r\n", part.end - 2, "latin1");
    if (headersEnd < 0 || headersEnd - part.end > MAX_HEADER_BYTES) {
      throw malformed("has a part whose headers do not end");
    }
    const next = findDelimiter(bytes, delimiter, headersEnd + 2);
    if (isModelField(bytes.toString("latin1", part.end, Math.max(part.end, headersEnd)))) {
      if (field !== null) throw malformed('has the field "model" twice');
      const [start, end] = [headersEnd + 4, next.start];
      field = { model: readModel(body.subarray(start, end)), start, end };
    }
    part = next;
  }
  return field;
}

interface Delimiter {
  /** Where the content before it ends. */
  readonly start: number;
  /** Where the part after it begins. */
  readonly end: number;
  readonly isLast: boolean;
}

/**
 * The next delimiter whose CRLF stands at `from` or later; from -2 on, the one that opens the body
 * needs no CRLF. RFC 2046 forbids its text anywhere else, also as the beginning of a line.
 */
function findDelimiter(bytes: Buffer, delimiter: Buffer, from: number): Delimiter {
  const opensBody =
    from < 0 && delimiter.subarray(2).equals(bytes.subarray(0, delimiter.length - 2));
  const start = opensBody ? -2 : bytes.indexOf(delimiter, Math.max(0, from));
  if (!opensBody && start < 0) throw malformed("does not end with its boundary");
  const end = start + delimiter.length;
  if (bytes[end] === DASH && bytes[end + 1] === DASH) return { start, end, isLast: true };
  if (bytes[end] !== CR || bytes[end + 1] !== LF) {
    throw malformed("has its boundary in the middle of a line");
  }
  return { start, end: end + 2, isLast: false };
}

function boundaryOf(contentType: string): string {
  const boundary = parametersOf(contentType).get("boundary") ?? "";
  if (!BOUNDARY.test(boundary)) throw malformed("needs a boundary, named by its Content-Type");
  return boundary;
}

/** Whether a part with these headers is the field `model` (a file of that name is not). */
function isModelField(headers: string): boolean {
  const lines = headers === "" ? [] : headers.split("\r\n");
  if (!lines.every((line) => HEADER.test(line))) throw malformed("has a malformed part header");
  const dispositions = lines.filter((line) => /^content-disposition:/i.test(line));
  if (dispositions.length > 1) throw malformed("has a part with two Content-Disposition headers");
  const disposition = dispositions[0];
  if (disposition === undefined) return false;
  const parameters = parametersOf(disposition);
  const isFile = parameters.has("filename") || parameters.has("filename*");
  return parameters.get("name") === "model" && !isFile;
}

/** The parameters behind the first semicolon of a header, names in lower case. */
function parametersOf(header: string): Map<string, string> {
  const parameters = new Map<string, string>();
  let end = header.indexOf(";");
  if (end < 0) return parameters;
  PARAMETER.lastIndex = end;
  for (let match = PARAMETER.exec(header); match !== null; match = PARAMETER.exec(header)) {
    end = PARAMETER.lastIndex;
    const name = (match[1] ?? "").toLowerCase();
    if (parameters.has(name)) throw malformed(`has a header that names "${name}" twice`);
    parameters.set(name, match[2]?.replaceAll(/\\(.)/g, "$1") ?? match[3] ?? "");
  }
  if (/[^\s;]/.test(header.slice(end))) throw malformed("has a header with malformed parameters");
  return parameters;
}

function readModel(value: Uint8Array): string {
  if (value.length > MAX_MODEL_BYTES) {
    throw malformed(`has a field "model" longer than ${MAX_MODEL_BYTES} bytes`);
  }
  try {
    return decoder.decode(value);
  } catch {
    throw malformed('has a field "model" that is not valid UTF-8');
  }
}

function malformed(what: string): ProxyError {
  return new ProxyError("invalid_request", `The multipart body ${what}. Send it as RFC 7578 says.`);
}
