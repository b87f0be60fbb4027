import type { Clock } from "../core/clock.ts";
import { ProxyError } from "../core/errors.ts";
import { isPacked } from "../core/headers.ts";
import type { Signal } from "../core/signal.ts";
import type { BodyMemory } from "./body-memory.ts";
import type { IncomingBody, SlowBodies } from "./slow-bodies.ts";

const SMALL_PIECE_BYTES = 1_024;
/** Room made at first for a body in pieces: memory is taken as it fills, not as it was announced. */
const FIRST_ROOM_BYTES = 4 * 1024;

export interface BodyLimits {
  readonly maxBytes: number;
  readonly slow: SlowBodies;
  readonly soon: Clock["soon"];
  readonly memory: BodyMemory;
  /** The flag that raises `maxBytes`, if one does. */
  readonly flag: string | null;
}

/** Giving back less costs more than it saves. */
const LEAST_GIVEN_BYTES = 4 * 1024;

/**
 * Bodies of known length up to this are read in one go, which costs half of reading them piece by
 * piece. How they come is not seen then: their room is taken at once, and their time is that of the
 * least rate.
 */
const ONE_GO_BYTES = 64 * 1024;
/** The same while there is plenty of memory: what says it is so long and never comes harms nobody. */
const ONE_GO_IN_PLENTY_BYTES = 4 * 1024 * 1024;

/**
 * Of a refused body no more than so much is let come: behind a longer length the connection is closed. One that tells
 * no length may go on, as any may, until Bun closes the connection, `--keep-alive` after the answer.
 */
const MOST_THROWN_AWAY_BYTES = 1024 ** 3;

/** Who wants to know of a body while it comes. */
export interface Coming {
  /** Refuses it, with its reason if that is a `ProxyError`. */
  readonly signal: Signal;
  /** So many bytes more have come; not told of what is read in one go. */
  came(bytes: number): void;
}

/**
 * Reads a client's body whole; whoever called lets go of it (`letGo`). The rest of one that is refused as such is
 * thrown away by Bun as it comes: clients that look for the answer only behind that would lose it with the connection.
 * @throws ProxyError request_too_large, request_timeout, unsupported_media_type (compressed),
 * service_unavailable (no memory for it now), or invalid_request when it breaks off.
 */
export function readBody(
  request: Request,
  limits: BodyLimits,
  coming: Coming | null = null,
): Promise<Uint8Array> {
  const { headers } = request;
  const declared = Number(headers.get("content-length") ?? Number.NaN);
  const close = declared > MOST_THROWN_AWAY_BYTES;
  if (isPacked(headers)) {
    const encoding = headers.get("content-encoding") ?? "";
    throw new ProxyError(
      "unsupported_media_type",
      `The body is compressed (${encoding.slice(0, 32)}); send it uncompressed.`,
      { close },
    );
  }
  if (declared > limits.maxBytes) throw tooLarge(limits, close);
  const isShort =
    declared <= ONE_GO_BYTES ||
    (declared <= ONE_GO_IN_PLENTY_BYTES && limits.memory.hasPlenty(declared));
  // Looking at `body` makes a stream of it, which costs a short one more than all the rest.
  const stream = isShort ? null : request.body;
  if (stream === null && !isShort) return Promise.resolve(new Uint8Array(0));
  if (isShort) limits.memory.take(declared);
  const reading = new Reading(limits, coming?.signal ?? null, isShort ? declared : 0);
  reading.settleWith(
    stream === null ? request.bytes() : readPieces(stream, declared, limits, reading, coming),
  );
  return reading.whole;
}

/** A body that is read: it comes whole, unless it is refused before, since it is slow or nobody wants it any more. */
class Reading implements IncomingBody {
  /** Rejects with why it is refused, or that it broke off. */
  readonly whole: Promise<Uint8Array>;
  place = -1;
  silentTicks = 0;
  ticks = 0;
  bytes = 0;
  readonly #resolve: (body: Uint8Array) => void;
  readonly #reject: (error: unknown) => void;
  readonly #limits: BodyLimits;
  readonly #signal: Signal | null;
  /** Its memory was taken at once. */
  readonly #takenBytes: number;

  constructor(limits: BodyLimits, signal: Signal | null, takenBytes: number) {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    this.whole = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#limits = limits;
    this.#signal = signal;
    this.#takenBytes = takenBytes;
    limits.slow.begin(this, takenBytes);
    signal?.on(this.#cancel);
  }

  refuse(error: ProxyError): void {
    this.#reject(error);
  }

  readonly #cancel = (): void => {
    const reason: unknown = this.#signal?.reason;
    if (reason instanceof ProxyError && this.#limits.slow.end(this)) this.#reject(reason);
  };

  settleWith(reading: Promise<Uint8Array>): void {
    reading.then(
      (body) => this.#came(body),
      (error) => this.#failed(error),
    );
  }

  #came(body: Uint8Array): void {
    const { memory, slow } = this.#limits;
    // It would hold the body as long as the request runs.
    this.#signal?.off(this.#cancel);
    // Of a GET Bun hands out nothing, whatever it announces.
    if (this.#takenBytes > 0) memory.give(this.#takenBytes - body.length);
    if (slow.end(this)) this.#resolve(body);
    else letGo(body, memory);
  }

  #failed(error: unknown): void {
    this.#limits.slow.end(this);
    this.#limits.memory.give(this.#takenBytes);
    this.#reject(error instanceof ProxyError ? error : brokeOff());
  }
}

/** To be called once with a body that has been read, when nobody needs it any more. */
export function letGo(body: Uint8Array, memory: BodyMemory): void {
  memory.give(body.length);
  giveBack(body);
}

function brokeOff(): ProxyError {
  return new ProxyError("invalid_request", "The body broke off; send it whole.", { close: true });
}

async function readPieces(
  stream: ReadableStream<Uint8Array>,
  declaredBytes: number,
  limits: BodyLimits,
  incoming: IncomingBody,
  coming: Coming | null,
): Promise<Uint8Array> {
  const mostBytes = Number.isNaN(declaredBytes) ? limits.maxBytes : declaredBytes;
  const gathered = new Gathered(limits.memory, mostBytes);
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return gathered.whole();
      if (gathered.length + value.length > limits.maxBytes) throw tooLarge(limits, false);
      gathered.add(value);
      limits.slow.came(incoming, value.length);
      coming?.came(value.length);
      // What arrives meanwhile is read as one piece: a megabyte in chunks of one byte would keep
      // everybody else waiting for a second.
      if (value.length < SMALL_PIECE_BYTES) await new Promise<void>(limits.soon);
      giveBack(value);
    }
  } catch (error) {
    gathered.resize(0);
    throw error;
  }
}

/**
 * Frees the memory of a body, or of a piece of one, now and not when garbage is next collected, or
 * when the answer, which may stream for minutes, lets go of it: `bytes` are empty then. With it
 * memory stays in use that the caches know, instead of new pages. Nothing happens to bytes that are
 * few, or share their buffer with others.
 */
function giveBack(bytes: Uint8Array): void {
  // Before a look at `buffer`, which would make an object of it.
  if (bytes.byteLength < LEAST_GIVEN_BYTES) return;
  const { buffer } = bytes;
  const isAlone = buffer.byteLength === bytes.byteLength;
  if (isAlone && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/**
 * Pieces, copied together as they come: keeping each one would cost hundreds of bytes for every
 * byte of a body that is sent in chunks of one.
 */
class Gathered {
  readonly #memory: BodyMemory;
  readonly #mostBytes: number;
  #buffer: Uint8Array = new Uint8Array(0);
  length = 0;

  /**
   * @param memory What its room is taken from.
   * @param mostBytes There will not be more.
   */
  constructor(memory: BodyMemory, mostBytes: number) {
    this.#memory = memory;
    this.#mostBytes = mostBytes;
  }

  /** @throws ProxyError service_unavailable when there is no room for it. */
  add(piece: Uint8Array): void {
    const length = this.length + piece.length;
    if (length > this.#buffer.length) {
      const roomBytes = Math.max(length, FIRST_ROOM_BYTES, this.#buffer.length * 2);
      this.resize(Math.max(length, Math.min(roomBytes, this.#mostBytes)));
    }
    this.#buffer.set(piece, this.length);
    this.length = length;
  }

  /** All of them, in a buffer that has room for no more. */
  whole(): Uint8Array {
    if (this.#buffer.length > this.length) this.resize(this.length);
    return this.#buffer;
  }

  /** Makes room for `bytes` instead, and keeps as much as fits. */
  resize(bytes: number): void {
    const former = this.#buffer;
    if (bytes > former.length) this.#memory.take(bytes - former.length);
    else this.#memory.give(former.length - bytes);
    this.length = Math.min(this.length, bytes);
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
    this.#buffer.set(former.subarray(0, this.length));
    giveBack(former);
  }
}

function tooLarge({ maxBytes, flag }: BodyLimits, close: boolean): ProxyError {
  const advice = flag === null ? "send less" : `send less, or raise ${flag}`;
  return new ProxyError(
    "request_too_large",
    `The body is larger than ${maxBytes} bytes; ${advice}.`,
    { close },
  );
}
