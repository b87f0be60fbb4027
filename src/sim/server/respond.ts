/** Turns a route's answer into the server's reply, with a fault worked in if there is one. */
import type { Answer } from "./answer.ts";
import type { Fault } from "./faults.ts";
import type { Reply } from "./http-server.ts";
import type { RequestEnd } from "./request-log.ts";

const encoder = new TextEncoder();

/** Thrown inside a body to make the connection break. */
class BrokenBody extends Error {}

export interface RespondOptions {
  readonly fault: Fault | null;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  /** Called once, when the body has been handed over or has ended otherwise. */
  readonly onEnd: (end: RequestEnd) => void;
}

export function respond(answer: Answer, options: RespondOptions): Reply {
  const { status, headers } = answer;
  const { fault, signal, onEnd } = options;
  const closes = answer.closes === true || fault?.kind === "close";
  if (typeof answer.body === "string" && !changesBody(fault)) {
    onEnd(status < 400 ? "completed" : "failed");
    return { status, headers, body: encoder.encode(answer.body), closes };
  }
  signal.addEventListener("abort", () => onEnd("cancelled"), { once: true });
  const length = lengthOf(answer.body, fault);
  return {
    status,
    headers,
    body: counted(withFault(bytesOf(answer.body), fault, signal), options, status),
    closes,
    ...(length !== null && { length }),
  };
}

/** Whether the fault is about how the body is sent; the others have been met before. */
function changesBody(fault: Fault | null): boolean {
  return fault !== null && ["hang", "die", "slow", "flood"].includes(fault.kind);
}

/** As the head announces it, whatever the fault then does to it. */
function lengthOf(body: Answer["body"], fault: Fault | null): number | null {
  return typeof body === "string" && fault?.kind !== "flood" ? Buffer.byteLength(body) : null;
}

/** The chunks, and how it ended. */
async function* counted(
  chunks: AsyncGenerator<Uint8Array, void>,
  { signal, onEnd }: RespondOptions,
  status: number,
): AsyncGenerator<Uint8Array, void> {
  try {
    yield* chunks;
    onEnd(status < 400 ? "completed" : "failed");
  } catch (error) {
    onEnd("failed");
    throw error;
  } finally {
    // Whoever takes no more of it has left.
    if (signal.aborted) onEnd("cancelled");
  }
}

/** Resolves when the client has left. */
export function departure(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Resolves after `ms` of real time, at once when the client leaves. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish);
  });
}

async function* bytesOf(body: Answer["body"]): AsyncGenerator<Uint8Array, void> {
  if (typeof body === "string") {
    yield encoder.encode(body);
    return;
  }
  for await (const piece of body) yield encoder.encode(piece);
}

function withFault(
  chunks: AsyncGenerator<Uint8Array, void>,
  fault: Fault | null,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  switch (fault?.kind) {
    case "hang":
      return fault.at === "body"
        ? cutAfter(chunks, fault.afterBytes, () => departure(signal))
        : chunks;
    case "die":
      return cutAfter(chunks, fault.afterBytes, () => Promise.reject(new BrokenBody()));
    case "slow":
      return delayed(chunks, fault.perChunkMs ?? 0, signal);
    case "flood":
      return flood(fault.bytes);
    default:
      return chunks;
  }
}

async function* cutAfter(
  chunks: AsyncGenerator<Uint8Array, void>,
  bytes: number,
  then: () => Promise<void>,
): AsyncGenerator<Uint8Array, void> {
  let left = bytes;
  for await (const chunk of chunks) {
    if (chunk.length <= left) {
      left -= chunk.length;
      yield chunk;
      continue;
    }
    if (left > 0) yield chunk.subarray(0, left);
    break;
  }
  await then();
}

async function* delayed(
  chunks: AsyncGenerator<Uint8Array, void>,
  delayMs: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of chunks) {
    await pause(delayMs, signal);
    yield chunk;
  }
}

async function* flood(bytes: number): AsyncGenerator<Uint8Array, void> {
  const block = encoder.encode("x".repeat(65_535).concat("\n"));
  for (let left = bytes; left > 0; left -= block.length) {
    yield left >= block.length ? block : block.subarray(0, left);
  }
}
