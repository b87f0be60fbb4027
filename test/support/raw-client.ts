/** An HTTP/1 client of raw sockets: it sees what came, byte for byte, and how the connection ended. */
import type { Socket } from "bun";

export interface RawAnswer {
  /** 0 while the head has not come. */
  readonly status: number;
  /** Status line and headers as they came. */
  readonly head: string;
  /** Without the framing of chunks. */
  readonly body: Buffer;
  /** By its framing, this is a whole answer: the last chunk or all of Content-Length has come. */
  readonly complete: boolean;
  /** Whether the connection stands, was closed (FIN) or reset. */
  readonly connection: "open" | "closed" | "reset";
}

export interface RawOptions {
  readonly headers?: readonly string[];
  /** Default `1.1`. */
  readonly version?: "1.0" | "1.1";
  /** Nothing is read until `resume`. */
  readonly paused?: boolean;
}

const HEAD_END = "\r\n\r\n";
const LAST_CHUNK = "0\r\n\r\n";
/** Larger answers come in chunks, as far as the proxy sends them. */
const SMALL_BYTES = 128 * 1024;

/** One request over a connection of its own. */
export class RawExchange {
  /** Resolves when the answer is complete or the connection has ended. */
  readonly ended: Promise<RawAnswer>;
  readonly #finish: () => void;
  readonly #pieces: Buffer[] = [];
  #receivedBytes = 0;
  /** The last characters received, as many as the last chunk has. */
  #tail = "";
  #connection: RawAnswer["connection"] = "open";
  #socket: Socket<undefined> | null = null;
  #isPaused: boolean;

  constructor(port: number, request: string, paused: boolean) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#finish = resolve;
    this.#isPaused = paused;
    this.ended = promise.then(() => this.answer());
    void Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => {
          this.#socket = socket;
          // It may have been told to read before there was anything to read from.
          if (this.#isPaused) socket.pause();
          socket.write(request);
        },
        data: (_socket, piece) => this.#receive(Buffer.from(piece)),
        end: () => this.#over("closed"),
        close: (_socket, error) => this.#over(error === undefined ? "closed" : "reset"),
        error: () => this.#over("reset"),
      },
    }).catch(() => this.#over("reset"));
  }

  #receive(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#receivedBytes += piece.length;
    this.#tail = (this.#tail + piece.subarray(-LAST_CHUNK.length).toString("latin1")).slice(-5);
    // Parsing all that has come with each piece would cost the square of it.
    if (this.#receivedBytes > SMALL_BYTES && this.#tail !== LAST_CHUNK) return;
    if (this.answer().complete) this.#finish();
  }

  #over(connection: "closed" | "reset"): void {
    if (this.#connection === "open") this.#connection = connection;
    this.#finish();
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** What has come so far. */
  answer(): RawAnswer {
    return parseAnswer(Buffer.concat(this.#pieces), this.#connection);
  }

  /** Sends more of the request. */
  send(text: string): void {
    this.#socket?.write(text);
  }

  /** Reads nothing more: the kernel's buffers fill. */
  pause(): void {
    this.#isPaused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#socket?.resume();
  }

  /** Goes away, as a client whose process ends. */
  leave(): void {
    this.#socket?.terminate();
    this.#finish();
  }
}

/** POSTs `body` as JSON over a connection of its own. */
export function rawPost(
  port: number,
  path: string,
  body: object,
  options: RawOptions = {},
): RawExchange {
  const { headers = [], version = "1.1", paused = false } = options;
  const text = JSON.stringify(body);
  const lines = [
    `POST ${path} HTTP/${version}`,
    `host: 127.0.0.1:${port}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(text)}`,
    ...headers,
  ];
  return new RawExchange(port, `${lines.join("\r\n")}${HEAD_END}${text}`, paused);
}

function parseAnswer(received: Buffer, connection: RawAnswer["connection"]): RawAnswer {
  const headEnd = received.indexOf(HEAD_END);
  if (headEnd < 0) return { status: 0, head: "", body: received, complete: false, connection };
  const head = received.subarray(0, headEnd).toString("latin1");
  const rest = received.subarray(headEnd + HEAD_END.length);
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0);
  return { status, head, connection, ...unframe(head, rest, connection) };
}

function unframe(head: string, rest: Buffer, connection: RawAnswer["connection"]) {
  if (/^transfer-encoding:\s*chunked\s*$/im.test(head)) return unchunk(rest);
  const length = /^content-length:\s*(\d+)\s*$/im.exec(head)?.[1];
  // Without either, the end of the connection is the end of the answer: only a reset shows a break.
  if (length === undefined) return { body: rest, complete: connection === "closed" };
  return { body: rest.subarray(0, Number(length)), complete: rest.length >= Number(length) };
}

function unchunk(framed: Buffer): { body: Buffer; complete: boolean } {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = framed.indexOf("\r\n", at);
    const size = lineEnd < 0 ? -1 : Number.parseInt(framed.toString("latin1", at, lineEnd), 16);
    if (size === 0) {
      const complete = framed.indexOf(HEAD_END, lineEnd) === lineEnd;
      return { body: Buffer.concat(parts), complete };
    }
    if (!(size > 0)) return { body: Buffer.concat(parts), complete: false };
    parts.push(framed.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
}
