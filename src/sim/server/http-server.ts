/**
 * The HTTP server under a simulated engine. It does what uvicorn does, which Bun's own server cannot:
 * the head of a stream goes out before the engine has a word to say, a connection is closed behind
 * an answer without announcement, cut after any byte, or reset before the first.
 */
import type { Socket } from "bun";
import { HttpReader, type HttpRequest, MalformedRequest } from "./http-reader.ts";

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes go out with their length, a generator's as they come; when it throws, the connection ends. */
  readonly body: Uint8Array | AsyncGenerator<Uint8Array, void>;
  /** Of a generator's bytes, when it is known; else they go in chunks. */
  readonly length?: number;
  /** The connection is closed behind the answer, which does not say so. */
  readonly closes?: boolean;
}

export interface HttpServerOptions {
  readonly hostname: string;
  readonly port: number;
  readonly onConnection: () => void;
  /**
   * Answers a request; `null` resets the connection. `signal` is aborted when the client leaves.
   * When it throws, the client gets what uvicorn gives: 500, and an end that nobody announced.
   */
  readonly answer: (request: HttpRequest, signal: AbortSignal) => Promise<Reply | null>;
}

export interface HttpServer {
  /** Stops listening and resolves when no connection is left; with `force` they are cut. */
  stop(force: boolean): Promise<void>;
}

/** uvicorn's `timeout_keep_alive`: an idle connection is closed after so long, ms. */
const KEEP_ALIVE_MS = 5_000;

const INTERNAL_ERROR: Reply = {
  status: 500,
  headers: { "content-type": "text/plain; charset=utf-8" },
  body: Buffer.from("Internal Server Error"),
  closes: true,
};
const BAD_REQUEST = Buffer.from(
  "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n" +
    "content-length: 30\r\n\r\nInvalid HTTP request received.",
);
const LAST_CHUNK = Buffer.from("0\r\n\r\n");
const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");

/** Throws what `Bun.listen` throws when the port is taken. */
export function startHttpServer(options: HttpServerOptions): HttpServer {
  const connections = new Set<Connection>();
  const listener = Bun.listen<Connection>({
    hostname: options.hostname,
    port: options.port,
    socket: {
      open(socket) {
        options.onConnection();
        socket.data = new Connection(socket, options.answer);
        connections.add(socket.data);
      },
      data: (socket, bytes) => socket.data.receive(bytes),
      drain: (socket) => socket.data.drained(),
      close(socket) {
        connections.delete(socket.data);
        socket.data.closed();
        if (connections.size === 0) whenEmpty?.();
      },
      error() {},
    },
  });
  let whenEmpty: (() => void) | null = null;
  return {
    async stop(force) {
      listener.stop(false);
      const isEmpty = new Promise<void>((resolve) => {
        whenEmpty = resolve;
      });
      for (const connection of connections) connection.stop(force);
      if (connections.size > 0) await isEmpty;
    },
  };
}

class Connection {
  readonly #socket: Socket<Connection>;
  readonly #answer: HttpServerOptions["answer"];
  readonly #reader = new HttpReader();
  #isGone = false;
  /** Of the request under way. */
  #departure: AbortController | null = null;
  #isAnswering = false;
  #isLast = false;
  /** A socket's own time-outs come in steps of four seconds. */
  #idle: ReturnType<typeof setTimeout> | undefined;
  #drained: (() => void) | null = null;

  constructor(socket: Socket<Connection>, answer: HttpServerOptions["answer"]) {
    this.#socket = socket;
    this.#answer = answer;
    this.#beIdle();
  }

  receive(bytes: Uint8Array): void {
    this.#reader.push(bytes);
    if (!this.#isAnswering) void this.#answerAll();
  }

  drained(): void {
    this.#drained?.();
  }

  closed(): void {
    this.#isGone = true;
    clearTimeout(this.#idle);
    this.#departure?.abort();
    this.#drained?.();
  }

  /** From now on, until a request is there. */
  #beIdle(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#endIfIdle(), KEEP_ALIVE_MS);
  }

  #endIfIdle(): void {
    if (!this.#isAnswering && this.#reader.isEmpty) this.#socket.end();
  }

  /** After the answer under way, if there is one; with `force` at once. */
  stop(force: boolean): void {
    this.#isLast = true;
    if (force) this.#socket.terminate();
    else this.#endIfIdle();
  }

  async #answerAll(): Promise<void> {
    this.#isAnswering = true;
    try {
      for (let request = this.#next(); request !== null; request = this.#next()) {
        clearTimeout(this.#idle);
        await this.#exchange(request);
        if (this.#isGone) return;
      }
    } catch (error) {
      if (!(error instanceof MalformedRequest)) throw error;
      await this.#write(BAD_REQUEST);
      this.#socket.end();
    } finally {
      this.#isAnswering = false;
    }
    if (!this.#isGone) this.#beIdle();
  }

  #next(): HttpRequest | null {
    const request = this.#reader.next();
    if (request === null && this.#reader.takeContinue()) void this.#write(CONTINUE);
    return request;
  }

  async #exchange(request: HttpRequest): Promise<void> {
    const departure = new AbortController();
    this.#departure = departure;
    const reply = await this.#answer(request, departure.signal).catch(() => INTERNAL_ERROR);
    if (reply === null) {
      this.#socket.terminate();
      return;
    }
    const isLast = this.#isLast || !request.keepsAlive;
    const isWhole = await this.#send(reply, { isLast, takesChunks: request.takesChunks });
    // It may have been stopped meanwhile.
    if (!isWhole || isLast || this.#isLast || reply.closes === true) this.#socket.end();
  }

  /** Whether the body came to its end. */
  async #send(
    reply: Reply,
    { isLast, takesChunks }: { readonly isLast: boolean; readonly takesChunks: boolean },
  ): Promise<boolean> {
    const { body } = reply;
    if (body instanceof Uint8Array) {
      await this.#write(Buffer.concat([headOf(reply, isLast, false), body]));
      return true;
    }
    const isChunked = reply.length === undefined && takesChunks;
    await this.#write(headOf(reply, isLast, isChunked));
    try {
      for await (const piece of body) {
        if (this.#isGone) return false;
        if (piece.length > 0) await this.#write(isChunked ? chunkOf(piece) : piece);
      }
    } catch {
      return false;
    }
    if (isChunked) await this.#write(LAST_CHUNK);
    return reply.length !== undefined || takesChunks;
  }

  /** Resolves when the kernel has taken all of it, or the connection is gone. */
  async #write(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 && !this.#isGone) {
      const written = this.#socket.write(rest);
      if (written < 0) return;
      rest = rest.subarray(written);
      if (rest.length === 0) return;
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
  }
}

function chunkOf(piece: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from(`${piece.length.toString(16)}\r\n`),
    piece,
    Buffer.from("\r\n"),
  ]);
}

/** The date, which all engines send, made once a second. */
let date = { text: "", atS: 0 };

function dateText(): string {
  const atS = Math.floor(Date.now() / 1_000);
  if (date.atS !== atS) date = { text: new Date(atS * 1_000).toUTCString(), atS };
  return date.text;
}

function headOf(reply: Reply, isLast: boolean, isChunked: boolean): Buffer {
  const length = reply.body instanceof Uint8Array ? reply.body.length : reply.length;
  const lines = [`HTTP/1.1 ${reply.status} ${REASONS[reply.status] ?? ""}`];
  lines.push(`date: ${dateText()}`, "server: uvicorn");
  const hasBody = reply.status !== 204 && reply.status !== 304;
  if (length !== undefined && hasBody) lines.push(`content-length: ${length}`);
  for (const [name, value] of Object.entries(reply.headers)) lines.push(`${name}: ${value}`);
  if (isLast) lines.push("connection: close");
  if (isChunked) lines.push("transfer-encoding: chunked");
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  204: "No Content",
  307: "Temporary Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  422: "Unprocessable Entity",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
};
