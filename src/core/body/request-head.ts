/**
 * What the proxy has to know of a request's JSON body, read without parsing the body.
 *
 * Only the top level is looked at, and strictly (RFC 8259): keys, colons, commas, scalars and the
 * match of brackets. What nested values and strings hold is the engine's to judge; it gets the bytes
 * as they came. A body of a kilobyte takes about a microsecond, a long one a tenth of `JSON.parse`.
 */
import { isUtf8 } from "node:buffer";
import { ProxyError } from "../errors.ts";
import { textAt } from "../text.ts";
import {
  CLOSE_BRACE,
  COLON,
  COMMA,
  isScalar,
  MAX_TOKEN_BYTES,
  malformed,
  type Nesting,
  newNesting,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  skipNested,
  skipScalar,
  skipString,
  skipWhitespace,
  tooLong,
} from "./json-scan.ts";
import { type MemberSpans, nameOf, plainText, STRIDE } from "./member-spans.ts";
import { modelNotString, namedTwice, notAnObject } from "./refusals.ts";

/** Top-level members a body may have; chat requests have some 30, and each costs memory here. */
const MAX_MEMBERS = 4096;

/** Bytes looked at between two pauses by `scanRequestHeadInSlices`: at most about 1 ms of work. */
const SLICE_BYTES = 256 * 1024;

/** Fields of DistServe that only the proxy may set; a client's own are taken out in every mode. */
export const CONTROL_PLANE_FIELDS = ["migration_request", "with_cache", "preserve_cache"] as const;

const WATCHED = ["model", "stream", "__proto__", ...CONTROL_PLANE_FIELDS] as const;

export interface RequestHead {
  /** The `model` member, unescaped; null when it is null or missing. */
  readonly model: string | null;
  /** Whether `stream` is the literal `true`; anything else passes to the engine unjudged. */
  readonly stream: boolean;
  /** Whether it has members that only the proxy may set. */
  readonly controlPlane: boolean;
  /** Where the top-level members stand in the body, in order; see `member-spans.ts`. */
  readonly members: MemberSpans;
  /** Byte index of the closing brace. */
  readonly closingBrace: number;
}

/** What comes next, white space apart (`string` and `nested`: in the middle of a value). */
type Expected =
  | "object"
  | "firstKey"
  | "key"
  | "colon"
  | "value"
  | "string"
  | "nested"
  | "comma"
  | "end";

/**
 * The head of a JSON body. A UTF-8 byte order mark is skipped.
 *
 * @throws ProxyError invalid_request when the body is not UTF-8 or not one JSON object, nests too
 * deep, names `__proto__`, names `model` or `stream` twice, or has a `model` that is not a string.
 */
export function scanRequestHead(body: Uint8Array): RequestHead {
  const scanner = new HeadScanner(body);
  scanner.step(body.length);
  return scanner.head();
}

/**
 * The same for large bodies: `pause` is awaited after every `sliceBytes` so that other requests get
 * their turn. The check for UTF-8 is made in one go: 64 MiB take less than 10 ms.
 */
export async function scanRequestHeadInSlices(
  body: Uint8Array,
  pause: () => Promise<void>,
  sliceBytes = SLICE_BYTES,
): Promise<RequestHead> {
  const scanner = new HeadScanner(body);
  while (!scanner.step(sliceBytes)) await pause();
  return scanner.head();
}

/** The scan behind `scanRequestHead`, a piece at a time. Reads the body, never changes it. */
export class HeadScanner {
  readonly #body: Uint8Array;
  readonly #spans: number[] = [];
  #nesting: Nesting | null = null;
  #at: number;
  #limit = 0;
  #expected: Expected = "object";
  #watched: (typeof WATCHED)[number] | null = null;
  #model: string | null = null;
  #stream = false;
  #controlPlane = false;
  #modelSeen = false;
  #streamSeen = false;
  #closingBrace = 0;

  /** @throws ProxyError invalid_request when the body is not UTF-8. */
  constructor(body: Uint8Array) {
    if (!isUtf8(body)) {
      throw new ProxyError("invalid_request", "The body is not valid UTF-8. Send JSON as UTF-8.");
    }
    this.#body = body;
    const hasMark = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf;
    this.#at = hasMark ? 3 : 0;
  }

  /**
   * Looks at up to `maxBytes` more (at least 1); true when the whole body has been seen.
   *
   * @throws ProxyError invalid_request, as `scanRequestHead`.
   */
  step(maxBytes: number): boolean {
    const body = this.#body;
    this.#limit = Math.min(body.length, this.#limit + Math.max(1, maxBytes));
    const seen = this.#limit === body.length ? body : body.subarray(0, this.#limit);
    while (this.#advance(seen));
    if (seen.length < body.length) return false;
    if (this.#expected !== "end") throw this.#cutShort();
    return true;
  }

  /** The result, once `step` has returned true. */
  head(): RequestHead {
    return {
      model: this.#model,
      stream: this.#stream,
      controlPlane: this.#controlPlane,
      members: this.#spans,
      closingBrace: this.#closingBrace,
    };
  }

  /** Takes one token; false when `seen` ends before or within it. */
  #advance(seen: Uint8Array): boolean {
    if (this.#expected === "string") return this.#longValue(skipString(seen, this.#at));
    if (this.#expected === "nested") return this.#nested(seen);
    const i = skipWhitespace(seen, this.#at);
    this.#at = i;
    const byte = seen[i];
    if (byte === undefined) return false;
    switch (this.#expected) {
      case "object":
        if (byte !== OPEN_BRACE) throw notAnObject();
        return this.#take("firstKey");
      case "firstKey":
        if (byte === CLOSE_BRACE) return this.#close();
        return this.#key(seen, byte);
      case "key":
        return this.#key(seen, byte);
      case "colon":
        if (byte !== COLON) throw malformed('":"', i);
        return this.#take("value");
      case "value":
        return this.#value(seen, byte);
      case "comma":
        if (byte === CLOSE_BRACE) return this.#close();
        if (byte !== COMMA) throw malformed('"," or "}"', i);
        return this.#take("key");
      default:
        throw malformed("nothing after the object", i);
    }
  }

  #take(next: Expected): true {
    this.#at++;
    this.#expected = next;
    return true;
  }

  #close(): true {
    this.#closingBrace = this.#at;
    return this.#take("end");
  }

  #key(seen: Uint8Array, byte: number): boolean {
    const start = this.#at;
    if (byte !== QUOTE) throw malformed("a key in double quotes", start);
    const end = skipString(seen, start + 1);
    if ((end < 0 ? seen.length : end) - start > MAX_TOKEN_BYTES) throw tooLong("key", start);
    if (end < 0) return false;
    this.#watch(nameOf(seen, start, end, WATCHED));
    if (this.#spans.length === MAX_MEMBERS * STRIDE) {
      throw new ProxyError("invalid_request", `The body has more than ${MAX_MEMBERS} members.`);
    }
    this.#spans.push(start, end);
    this.#at = end;
    this.#expected = "colon";
    return true;
  }

  #watch(name: (typeof WATCHED)[number] | null): void {
    this.#watched = name;
    switch (name) {
      case null:
        return;
      case "__proto__":
        throw new ProxyError("invalid_request", 'Remove the member "__proto__" from the body.');
      case "model":
        if (this.#modelSeen) throw namedTwice(name);
        this.#modelSeen = true;
        return;
      case "stream":
        if (this.#streamSeen) throw namedTwice(name);
        this.#streamSeen = true;
        return;
      default:
        this.#controlPlane = true;
    }
  }

  #value(seen: Uint8Array, byte: number): boolean {
    const start = this.#at;
    if (byte === QUOTE || byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      this.#spans.push(start);
      if (byte === QUOTE) {
        this.#expected = "string";
        return this.#longValue(skipString(seen, start + 1));
      }
      if (this.#watched === "model") throw modelNotString();
      this.#nesting ??= newNesting();
      this.#expected = "nested";
      return this.#nested(seen);
    }
    const end = skipScalar(seen, start);
    if (end - start > MAX_TOKEN_BYTES) throw tooLong("number", start);
    if (end === seen.length && end < this.#body.length) return false;
    if (!isScalar(seen, start, end)) throw malformed("a JSON value", start);
    if (this.#watched === "model" && byte !== 0x6e) throw modelNotString();
    if (this.#watched === "stream") this.#stream = byte === 0x74;
    this.#spans.push(start);
    return this.#longValue(end);
  }

  #nested(seen: Uint8Array): boolean {
    this.#nesting ??= newNesting();
    return this.#longValue(skipNested(seen, this.#at, this.#nesting));
  }

  /** Ends the value at `end`, or keeps the complement of it as the place to go on from. */
  #longValue(end: number): boolean {
    if (end < 0) {
      this.#at = ~end;
      return false;
    }
    const start = this.#spans.at(-1) ?? 0;
    if (this.#watched === "model" && this.#expected === "string") this.#readModel(start, end);
    this.#spans.push(end);
    this.#at = end;
    this.#expected = "comma";
    return true;
  }

  #readModel(start: number, end: number): void {
    if (end - start > MAX_TOKEN_BYTES) throw tooLong("model name", start);
    // A view of the body costs as much as the rest of the scan; most names have neither escapes nor accents.
    this.#model = plainText(this.#body, start + 1, end - 1);
    if (this.#model !== null) return;
    try {
      this.#model = String(JSON.parse(textAt(this.#body, start, end)));
    } catch {
      throw malformed("a model name without control characters and with valid escapes", start);
    }
  }

  #cutShort(): ProxyError {
    if (this.#expected === "object") {
      return new ProxyError(
        "invalid_request",
        'The body is empty. Send a JSON object such as {"model": "…"}.',
      );
    }
    return malformed("more: the object is not closed", this.#body.length);
  }
}
