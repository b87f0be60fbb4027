import type { Socket } from "bun";
import { Histogram } from "./histogram.ts";
import { MessageReader } from "./http-message.ts";
import { JSON_ANSWER_BYTES, readStamp, STAMP_DIGITS, STAMP_MARK } from "./wire.ts";

/** One request to be made. */
export interface Job {
  bytes: Buffer;
  /** Chunks the answer must have; 0: a JSON answer. */
  chunks: number;
  /** When it was due, on the clock of `performance.now()`. */
  sinceMs: number;
  /** The client leaves this long after sending; null: it stays. */
  leaveAfterMs: number | null;
}

/** What all clients of a load write to. */
export class Recorder {
  /** True inside the measured window. */
  isMeasuring = false;
  requests = 0;
  chunks = 0;
  left = 0;
  connects = 0;
  readonly reasons = new Map<string, number>();
  readonly firstByte = new Histogram();
  readonly whole = new Histogram();
  readonly chunk = new Histogram();

  get failed(): number {
    let sum = 0;
    for (const count of this.reasons.values()) sum += count;
    return sum;
  }

  fail(reason: string): void {
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
  }
}

export interface ClientOptions {
  port: number;
  exactBytes: boolean;
  recorder: Recorder;
  clockUs(): number;
  /** The client has finished its job, well or not, and may get the next. */
  onIdle(client: Client): void;
}

/** One connection of the load generator: one request at a time, kept alive, reopened when closed. */
export class Client {
  readonly #options: ClientOptions;
  #reader: MessageReader;
  #socket: Socket<Client> | null = null;
  #job: Job | null = null;
  #leaveTimer: NodeJS.Timeout | null = null;
  #attempt = 0;
  #sentBytes = 0;
  #status = 0;
  #seenBytes = 0;
  #seenChunks = 0;
  /** The first digits of a stamp that is split over two reads. */
  #stampStart = "";
  /** What follows the last stamp. */
  #tail = "";
  #sawDone = false;
  #progressMs = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#reader = this.#newReader();
  }

  get isBusy(): boolean {
    return this.#job !== null;
  }

  start(job: Job): void {
    this.#job = job;
    this.#sentBytes = 0;
    this.#status = 0;
    this.#seenBytes = 0;
    this.#seenChunks = 0;
    this.#stampStart = "";
    this.#tail = "";
    this.#sawDone = false;
    this.#progressMs = performance.now();
    if (job.leaveAfterMs !== null) {
      this.#leaveTimer = setTimeout(() => this.#leave(), job.leaveAfterMs);
    }
    if (this.#socket) this.#send();
    else this.#connect();
  }

  /** Gives a request up that has had no byte since `beforeMs`. */
  checkStall(beforeMs: number): void {
    if (this.#job && this.#progressMs < beforeMs) this.#fail("no byte for too long");
  }

  abandon(reason: string): void {
    if (this.#job) this.#fail(reason);
    this.close();
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#reader = this.#newReader();
    socket?.terminate();
  }

  #newReader(): MessageReader {
    return new MessageReader("response", {
      onHead: (head) => {
        this.#status = Number(head.slice(9, 12));
      },
      onBody: (data, start, end) => this.#body(data, start, end),
      onEnd: () => this.#end(),
    });
  }

  #connect(): void {
    this.#options.recorder.connects++;
    const attempt = ++this.#attempt;
    const isCurrent = (socket: Socket<Client>) => this.#socket === socket;
    Bun.connect<Client>({
      hostname: "127.0.0.1",
      port: this.#options.port,
      data: this,
      socket: {
        open: (socket) => {
          // The client may have left meanwhile, and may even be on its way with another job.
          if (!this.#job || attempt !== this.#attempt) return void socket.terminate();
          this.#socket = socket;
          this.#send();
        },
        data: (socket, data) => {
          if (isCurrent(socket)) this.#receive(data);
        },
        drain: (socket) => {
          if (isCurrent(socket)) this.#send();
        },
        close: (socket) => {
          if (isCurrent(socket)) this.#closed();
        },
        end: (socket) => {
          if (isCurrent(socket)) this.#closed();
        },
        error: (socket) => {
          if (isCurrent(socket)) this.#closed();
        },
        connectError: () => {
          if (this.#job && attempt === this.#attempt) this.#fail("connection refused");
        },
      },
    }).catch(() => undefined); // Counted by connectError.
  }

  #send(): void {
    const job = this.#job;
    if (!job || !this.#socket || this.#sentBytes >= job.bytes.length) return;
    const written = this.#socket.write(job.bytes, this.#sentBytes);
    if (written > 0) {
      this.#sentBytes += written;
      this.#progressMs = performance.now();
    }
  }

  #receive(data: Buffer): void {
    if (!this.#job) {
      this.#options.recorder.fail("bytes nobody asked for");
      this.close();
      return;
    }
    this.#progressMs = performance.now();
    try {
      this.#reader.feed(data);
    } catch {
      this.#fail("malformed answer");
    }
  }

  #body(data: Buffer, start: number, end: number): void {
    const job = this.#job;
    if (!job) return;
    const { recorder } = this.#options;
    if (this.#seenBytes === 0 && recorder.isMeasuring) {
      recorder.firstByte.record((performance.now() - job.sinceMs) * 1e3);
    }
    this.#seenBytes += end - start;
    if (job.chunks > 0) this.#stamps(data, start, end, job.chunks);
  }

  #stamps(data: Buffer, start: number, end: number, expected: number): void {
    let from = this.#stampStart === "" ? start : this.#splitStamp(data, start, end);
    for (;;) {
      const mark = data.indexOf(STAMP_MARK, from);
      if (mark < 0 || mark >= end) break;
      this.#seenChunks++;
      if (this.#options.recorder.isMeasuring) this.#options.recorder.chunks++;
      from = mark + 1 + STAMP_DIGITS;
      if (from > end) {
        this.#stampStart = `0${data.toString("latin1", mark + 1, end)}`;
        return;
      }
      this.#recordChunk(readStamp(data, mark + 1));
    }
    if (this.#seenChunks === expected && !this.#sawDone) {
      this.#tail += data.toString("latin1", from, end);
      this.#sawDone = this.#tail.includes("data: [DONE]");
    }
  }

  /** Completes a stamp begun in the last read; returns where to go on. */
  #splitStamp(data: Buffer, start: number, end: number): number {
    const missing = Math.min(1 + STAMP_DIGITS - this.#stampStart.length, end - start);
    this.#stampStart += data.toString("latin1", start, start + missing);
    if (this.#stampStart.length > STAMP_DIGITS) {
      this.#recordChunk(Number(this.#stampStart));
      this.#stampStart = "";
    }
    return start + missing;
  }

  #recordChunk(sentUs: number): void {
    const { recorder, clockUs } = this.#options;
    if (recorder.isMeasuring) recorder.chunk.record(clockUs() - sentUs);
  }

  #end(): void {
    const job = this.#job;
    if (!job) return;
    const problem = this.#problem(job);
    if (problem) {
      this.#fail(problem);
      return;
    }
    const { recorder } = this.#options;
    if (recorder.isMeasuring) {
      recorder.requests++;
      recorder.whole.record((performance.now() - job.sinceMs) * 1e3);
    }
    this.#finish();
  }

  #problem(job: Job): string | null {
    if (this.#status !== 200) return `status ${this.#status}`;
    if (job.chunks > 0) {
      if (this.#seenChunks !== job.chunks) return "chunks missing or too many";
      return this.#sawDone ? null : "stream ended without [DONE]";
    }
    const isWhole = this.#options.exactBytes
      ? this.#seenBytes === JSON_ANSWER_BYTES
      : this.#seenBytes >= JSON_ANSWER_BYTES / 2;
    return isWhole ? null : "answer of the wrong size";
  }

  #closed(): void {
    const wasProper = this.#reader.eof();
    if (this.#job) this.#fail(wasProper ? "closed without an answer" : "answer cut off");
    this.close();
  }

  #leave(): void {
    if (!this.#job) return;
    this.#options.recorder.left++;
    this.close();
    this.#finish();
  }

  #fail(reason: string): void {
    this.#options.recorder.fail(reason);
    this.close();
    this.#finish();
  }

  #finish(): void {
    this.#job = null;
    if (this.#leaveTimer) clearTimeout(this.#leaveTimer);
    this.#leaveTimer = null;
    this.#options.onIdle(this);
  }
}
