import { ProxyError } from "../core/errors.ts";

export interface BodyLimits {
  readonly maxBytes: number;
  /** Between two reads of the body, ms. */
  readonly timeoutMs: number;
  /** The flag that raises `maxBytes`, if one does. */
  readonly flag: string | null;
}

/** Bodies of known length up to this are read in one go. */
const ONE_GO_BYTES = 64 * 1024;

/**
 * Reads a client's body whole.
 * @throws ProxyError request_too_large, request_timeout, unsupported_media_type (compressed), or
 * invalid_request when it breaks off.
 */
export async function readBody(request: Request, limits: BodyLimits): Promise<Uint8Array> {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity" && encoding !== "") {
    throw new ProxyError(
      "unsupported_media_type",
      `The body is compressed (${encoding.slice(0, 32)}); send it uncompressed.`,
      { close: true },
    );
  }
  const declared = Number(request.headers.get("content-length") ?? Number.NaN);
  if (declared > limits.maxBytes) throw tooLarge(limits);
  if (request.body === null) return new Uint8Array(0);
  const stall = new StallTimer(limits.timeoutMs);
  try {
    if (declared <= ONE_GO_BYTES) return await stall.race(request.bytes());
    return await readPieces(request.body, limits, stall);
  } catch (error) {
    if (error instanceof ProxyError) throw error;
    throw new ProxyError("invalid_request", "The body broke off; send it whole.", { close: true });
  } finally {
    stall.stop();
  }
}

async function readPieces(
  body: ReadableStream<Uint8Array>,
  limits: BodyLimits,
  stall: StallTimer,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await stall.race(reader.read());
    if (done) break;
    size += value.length;
    if (size > limits.maxBytes) throw tooLarge(limits);
    pieces.push(value);
  }
  const [only] = pieces;
  return only !== undefined && pieces.length === 1 ? only : Buffer.concat(pieces, size);
}

/** Fails a read that takes longer than the limit; one timer for a body, put off with every piece. */
class StallTimer {
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #stalled = Promise.withResolvers<never>();

  constructor(timeoutMs: number) {
    this.#timer = setTimeout(() => {
      const message = `No more of the body came for ${timeoutMs / 1_000} s; send it faster.`;
      this.#stalled.reject(new ProxyError("request_timeout", message, { close: true }));
    }, timeoutMs);
    this.#stalled.promise.catch(() => {});
  }

  async race<T>(read: Promise<T>): Promise<T> {
    const result = await Promise.race([read, this.#stalled.promise]);
    this.#timer.refresh();
    return result;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function tooLarge({ maxBytes, flag }: BodyLimits): ProxyError {
  const advice = flag === null ? "send less" : `send less, or raise ${flag}`;
  return new ProxyError(
    "request_too_large",
    `The body is larger than ${maxBytes} bytes; ${advice}.`,
    { close: true },
  );
}
