import type { Socket } from "bun";
import { sharedClockUs } from "./clock.ts";
import { MessageReader } from "./http-message.ts";
import {
  jsonAnswer,
  METRICS,
  MODEL,
  OTHER_MODEL,
  readAsk,
  STREAM_HEAD,
  STREAM_TAIL,
  tokenChunk,
  writeStamp,
} from "./wire.ts";

/** Longer bodies are counted, not kept: their answer is JSON. */
const LONGEST_KEPT_BODY_BYTES = 65_536;
/**
 * Chunks written at a time in a stream that comes as fast as it can. With fewer, the engine is the
 * slowest part, and the cost of a chunk jumps by three between runs with how many of them happen to
 * reach the contestant together. Chunks that come one by one are what the paced works show.
 */
const BURST_CHUNKS = 64;
const WHEEL_SLOTS = 1_024;

export interface EngineOptions {
  /** Ports that serve the benchmark's model, and ports that serve another one. */
  nodes: number;
  others: number;
  /** For tests: cut the n-th answer, and every n-th after it, in the middle of its body. */
  cutEvery?: number;
}

export interface Engine {
  ports: number[];
  otherPorts: number[];
  stop(): void;
}

/** An inference engine that costs as little as possible, on many ports. */
export function startEngine(options: EngineOptions): Engine {
  const wheel = new TimerWheel(sharedClockUs());
  let answers = 0;
  const isCut = () => options.cutEvery !== undefined && ++answers % options.cutEvery === 0;
  const listen = (model: string) =>
    Bun.listen<Connection>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(socket) {
          socket.data = new Connection(socket, wheel, model, isCut);
        },
        data: (socket, data) => socket.data.receive(data),
        drain: (socket) => socket.data.flush(),
        close: (socket) => socket.data.closed(),
        error: (socket) => socket.data.closed(),
      },
    });
  const nodes = Array.from({ length: options.nodes }, () => listen(MODEL));
  const others = Array.from({ length: options.others }, () => listen(OTHER_MODEL));
  return {
    ports: nodes.map((listener) => listener.port),
    otherPorts: others.map((listener) => listener.port),
    stop() {
      wheel.stop();
      for (const listener of [...nodes, ...others]) listener.stop(true);
    },
  };
}

const JSON_ANSWER = jsonAnswer();
const CUT_ANSWER = JSON_ANSWER.subarray(0, JSON_ANSWER.length - 100);

class Connection {
  readonly #socket: Socket<Connection>;
  readonly #wheel: TimerWheel;
  readonly #model: string;
  readonly #isCut: () => boolean;
  readonly #reader: MessageReader;
  #head = "";
  #body = "";
  #pending: Buffer | null = null;
  #burstLeft = 0;
  /** Chunks of a paced stream still to send; the wheel drops a stream that has none. */
  left = 0;
  everyMs = 0;

  constructor(socket: Socket<Connection>, wheel: TimerWheel, model: string, isCut: () => boolean) {
    this.#socket = socket;
    this.#wheel = wheel;
    this.#model = model;
    this.#isCut = isCut;
    this.#reader = new MessageReader("request", {
      onHead: (head) => {
        this.#head = head;
        this.#body = "";
      },
      onBody: (data, start, end) => {
        if (this.#body.length + end - start <= LONGEST_KEPT_BODY_BYTES) {
          this.#body += data.toString("latin1", start, end);
        }
      },
      onEnd: () => this.#answer(),
    });
  }

  receive(data: Buffer): void {
    try {
      this.#reader.feed(data);
    } catch {
      this.#socket.terminate();
    }
  }

  closed(): void {
    this.left = 0;
    this.#burstLeft = 0;
    this.#pending = null;
  }

  #answer(): void {
    if (this.#head.startsWith("GET ")) {
      this.#answerGet();
      return;
    }
    const ask = readAsk(this.#body);
    if (this.#isCut()) {
      this.send(CUT_ANSWER);
      this.#socket.end();
    } else if (!ask.stream) this.send(JSON_ANSWER);
    else if (ask.everyMs === 0) {
      this.#burstLeft = ask.chunks;
      this.send(STREAM_HEAD);
      this.flush();
    } else {
      this.left = ask.chunks;
      this.everyMs = ask.everyMs;
      this.#wheel.begin(this);
    }
  }

  #answerGet(): void {
    const path = this.#head.slice(4, this.#head.indexOf(" ", 4));
    const facts: Record<string, () => [string, string]> = {
      "/health": () => ["application/json", '{"status":"healthy","message":"ok"}'],
      "/v1/models": () => ["application/json", modelList(this.#model)],
      "/metrics": () => ["text/plain; version=0.0.4", METRICS],
      "/get_model_info": () => ["application/json", `{"model_path":"${this.#model}"}`],
      "/model_info": () => ["application/json", `{"model_path":"${this.#model}"}`],
    };
    const [type, body] = facts[path]?.() ?? ["text/plain", "no such path"];
    const status = path in facts ? "200 OK" : "404 Not Found";
    this.send(
      Buffer.from(
        `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      ),
    );
  }

  /** Sends, or keeps what the socket does not take for when it drains. */
  send(bytes: Buffer): void {
    if (this.#pending) {
      this.#pending = Buffer.concat([this.#pending, bytes]);
      return;
    }
    const written = this.#socket.write(bytes);
    if (written < bytes.length) this.#pending = Buffer.from(bytes.subarray(Math.max(0, written)));
  }

  flush(): void {
    const held = this.#pending;
    if (held) {
      this.#pending = null;
      this.send(held);
    }
    while (this.#burstLeft > 0 && !this.#pending) {
      const chunks = Math.min(BURST_CHUNKS, this.#burstLeft);
      this.#burstLeft -= chunks;
      this.send(this.#wheel.burst(chunks));
      if (this.#burstLeft === 0) this.send(STREAM_TAIL);
    }
  }
}

/** One timer for all paced streams: slots of a millisecond, each a list of streams due then. */
class TimerWheel {
  readonly #clockUs: () => number;
  readonly #slots: Connection[][] = Array.from({ length: WHEEL_SLOTS }, () => []);
  readonly #token = tokenChunk();
  readonly #first = Buffer.concat([STREAM_HEAD, this.#token.bytes]);
  readonly #last = Buffer.concat([this.#token.bytes, STREAM_TAIL]);
  readonly #burst = Buffer.concat(Array.from({ length: BURST_CHUNKS }, () => this.#token.bytes));
  #timer: NodeJS.Timeout | null = null;
  #tickMs = 0;
  #streams = 0;
  #begun = 0;

  constructor(clockUs: () => number) {
    this.#clockUs = clockUs;
  }

  /** Sends the head with the first chunk at once; the others follow, out of step with each other. */
  begin(stream: Connection): void {
    if (!this.#timer) {
      this.#tickMs = this.#nowMs();
      this.#timer = setInterval(() => this.#turn(), 1);
    }
    stream.left--;
    writeStamp(this.#first, STREAM_HEAD.length + this.#token.stampAt, this.#clockUs());
    stream.send(this.#first);
    if (stream.left === 0) {
      stream.send(STREAM_TAIL);
      return;
    }
    this.#streams++;
    this.#put(stream, this.#nowMs() + 1 + (this.#begun++ % stream.everyMs));
  }

  burst(chunks: number): Buffer {
    const size = this.#token.bytes.length;
    const nowUs = this.#clockUs();
    for (let i = 0; i < chunks; i++) writeStamp(this.#burst, i * size + this.#token.stampAt, nowUs);
    return this.#burst.subarray(0, chunks * size);
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  #nowMs(): number {
    return Math.floor(this.#clockUs() / 1e3);
  }

  #put(stream: Connection, dueMs: number): void {
    // The slot being emptied now is not put into: it would be seen a whole turn later.
    const soonest = Math.max(dueMs, this.#tickMs + 1);
    this.#slots[Math.min(soonest, this.#tickMs + WHEEL_SLOTS - 1) % WHEEL_SLOTS]?.push(stream);
  }

  #turn(): void {
    const nowMs = this.#nowMs();
    while (this.#tickMs < nowMs) {
      this.#tickMs++;
      const slot = this.#tickMs % WHEEL_SLOTS;
      const due = this.#slots[slot] ?? [];
      this.#slots[slot] = [];
      for (const stream of due) this.#sendNext(stream);
    }
    if (this.#streams === 0) this.stop();
  }

  #sendNext(stream: Connection): void {
    if (stream.left <= 0) {
      this.#streams--;
      return;
    }
    stream.left--;
    const isLast = stream.left === 0;
    const bytes = isLast ? this.#last : this.#token.bytes;
    writeStamp(bytes, this.#token.stampAt, this.#clockUs());
    stream.send(bytes);
    if (isLast) this.#streams--;
    else this.#put(stream, this.#tickMs + stream.everyMs);
  }
}

function modelList(model: string): string {
  const entry = {
    id: model,
    object: "model",
    created: 1_767_225_600,
    owned_by: "bench",
    root: model,
  };
  return JSON.stringify({ object: "list", data: [{ ...entry, parent: null, permission: [] }] });
}

/** Run by itself: `bun engine.ts NODES OTHERS` prints its ports as a line of JSON, ends with stdin. */
if (import.meta.main) {
  const engine = startEngine({ nodes: Number(Bun.argv[2]), others: Number(Bun.argv[3]) });
  console.log(JSON.stringify({ ports: engine.ports, otherPorts: engine.otherPorts }));
  for await (const _ of Bun.stdin.stream()) {
    // Nothing is ever said here: the end of the stream is the runner's end.
  }
  process.exit(0);
}
