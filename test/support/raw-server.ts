/**
 * An engine of raw sockets, for what a well-behaved HTTP server cannot do: garbage instead of HTTP,
 * a body shorter or longer than announced, endless headers, a connection closed at any byte.
 *
 * GET `/health` and `/v1/models` are answered as an engine would, so that a proxy takes it for one;
 * every other request gets the scripted steps. What arrives is kept byte for byte.
 */
import type { Socket } from "bun";

/** One thing done with the connection, in order. After the last one it stays open. */
export type RawStep =
  | { readonly send: string | Uint8Array }
  /** Sends the text that many times, as fast as the peer reads. */
  | { readonly repeat: string; readonly times: number }
  | { readonly waitMs: number }
  /** Goes on when what it returns resolves. */
  | { readonly hold: () => Promise<unknown> }
  /** Closes as a process that ends does, after what was sent (FIN). */
  | { readonly close: true }
  /** Resets the connection (RST); what the peer has not read is lost. */
  | { readonly reset: true };

export interface RawRequest {
  readonly method: string;
  /** As in the request line. */
  readonly target: string;
  /** Request line and headers as they came, without the empty line. */
  readonly head: string;
  readonly body: Uint8Array;
}

export interface RawServerOptions {
  /** The steps for a request; called once for each that is neither `/health` nor `/v1/models`. */
  readonly script: (request: RawRequest) => readonly RawStep[];
  /** Steps that replace the proper answer of `/health` or `/v1/models`. */
  readonly probes?: Readonly<Record<string, readonly RawStep[]>>;
  /** Default `["tiny"]`. */
  readonly models?: readonly string[];
  /** Default 0: a free one. */
  readonly port?: number;
}

export interface RawServer {
  readonly url: string;
  readonly port: number;
  /** Requests that got the script, as they came. */
  readonly requests: readonly RawRequest[];
  /** Connections accepted since the start, and open now. */
  connections(): { readonly accepted: number; readonly open: number };
  stop(): void;
}

interface Connection {
  buffer: Buffer;
  /** Requests of one connection are answered one after the other. */
  queue: Promise<void>;
  drained: (() => void) | null;
  isClosed: boolean;
}

const HEAD_END = "\r\n\r\n";

export function startRawServer(options: RawServerOptions): RawServer {
  const models = options.models ?? ["tiny"];
  const requests: RawRequest[] = [];
  const open = new Set<Socket<Connection>>();
  let accepted = 0;

  const answer = (request: RawRequest): readonly RawStep[] => {
    const probe = options.probes?.[request.target];
    if (probe !== undefined) return probe;
    if (request.target === "/health") return jsonSteps({ status: "healthy", message: "" });
    if (request.target === "/v1/models") return jsonSteps(modelList(models));
    requests.push(request);
    return options.script(request);
  };

  const listener = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: options.port ?? 0,
    socket: {
      open(socket) {
        accepted += 1;
        open.add(socket);
        const queue = Promise.resolve();
        socket.data = { buffer: Buffer.alloc(0), queue, drained: null, isClosed: false };
      },
      data(socket, bytes) {
        const connection = socket.data;
        connection.buffer = Buffer.concat([connection.buffer, bytes]);
        for (let next = takeRequest(connection); next !== null; next = takeRequest(connection)) {
          const request = next;
          connection.queue = connection.queue.then(() => perform(socket, answer(request)));
        }
      },
      drain(socket) {
        socket.data.drained?.();
      },
      close(socket) {
        socket.data.isClosed = true;
        open.delete(socket);
        socket.data.drained?.();
      },
      error() {},
    },
  });

  return {
    url: `http://127.0.0.1:${listener.port}`,
    port: listener.port,
    requests,
    connections: () => ({ accepted, open: open.size }),
    stop: () => listener.stop(true),
  };
}

/** Takes one whole request off the buffer; `null` when it is not there yet. Bodies need a length. */
function takeRequest(connection: Connection): RawRequest | null {
  const headEnd = connection.buffer.indexOf(HEAD_END);
  if (headEnd < 0) return null;
  const head = connection.buffer.subarray(0, headEnd).toString("latin1");
  const length = Number(/^content-length:\s*(\d+)\s*$/im.exec(head)?.[1] ?? 0);
  const bodyStart = headEnd + HEAD_END.length;
  if (connection.buffer.length < bodyStart + length) return null;
  const body = Uint8Array.from(connection.buffer.subarray(bodyStart, bodyStart + length));
  connection.buffer = connection.buffer.subarray(bodyStart + length);
  const [method = "", target = ""] = head.split(" ", 2);
  return { method, target, head, body };
}

async function perform(socket: Socket<Connection>, steps: readonly RawStep[]): Promise<void> {
  for (const step of steps) {
    if (socket.data.isClosed) return;
    if ("send" in step) await write(socket, Buffer.from(step.send));
    else if ("repeat" in step) await repeat(socket, Buffer.from(step.repeat), step.times);
    else if ("waitMs" in step) await Bun.sleep(step.waitMs);
    else if ("hold" in step) await step.hold();
    else if ("close" in step) socket.end();
    else socket.terminate();
  }
}

async function repeat(socket: Socket<Connection>, bytes: Buffer, times: number): Promise<void> {
  for (let i = 0; i < times && !socket.data.isClosed; i += 1) await write(socket, bytes);
}

/** Resolves when the kernel has taken all bytes, or the connection is gone. */
async function write(socket: Socket<Connection>, bytes: Buffer): Promise<void> {
  let rest = bytes;
  while (rest.length > 0 && !socket.data.isClosed) {
    const written = socket.write(rest);
    if (written < 0) return;
    rest = rest.subarray(written);
    if (rest.length === 0) return;
    await new Promise<void>((resolve) => {
      socket.data.drained = resolve;
    });
  }
}

function modelList(models: readonly string[]): object {
  return { object: "list", data: models.map((id) => ({ id, object: "model", owned_by: "raw" })) };
}

function jsonSteps(value: unknown): readonly RawStep[] {
  return [{ send: httpAnswer(JSON.stringify(value)) }];
}

/** A proper HTTP answer, to build improper ones from. */
export function httpAnswer(
  body: string,
  headers: readonly string[] = [],
  status = "200 OK",
): string {
  const length = Buffer.byteLength(body);
  const lines = ["content-type: application/json", `content-length: ${length}`, ...headers];
  return `HTTP/1.1 ${status}\r\n${lines.join("\r\n")}${HEAD_END}${body}`;
}
