/** Turns a route's answer into an HTTP response, with a fault worked in if there is one. */
import type { Answer } from "./answer.ts";
import type { RequestEnd } from "./engine.ts";
import type { Fault } from "./faults.ts";

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

export function respond(answer: Answer, options: RespondOptions): Response {
  const { status, headers } = answer;
  if (typeof answer.body === "string" && !changesBody(options.fault)) {
    options.onEnd(status < 400 ? "completed" : "failed");
    return new Response(answer.body, { status, headers });
  }
  const chunks = withFault(bytesOf(answer.body), options.fault, options.signal);
  options.signal.addEventListener("abort", () => options.onEnd("cancelled"), { once: true });
  return new Response(bodyStream(chunks, status, options.onEnd), { status, headers });
}

/** Whether the fault is about how the body is sent; the others have been met before. */
function changesBody(fault: Fault | null): boolean {
  return fault !== null && ["hang", "die", "slow", "flood"].includes(fault.kind);
}

/**
 * A response that resets the connection before a byte of it is sent: what Bun.serve does with a
 * body that has failed when it is handed over. (An error value of `undefined` is not printed.)
 */
export function resetResponse(): Response {
  return new Response(
    new ReadableStream({
      start(controller) {
        controller.error(undefined);
      },
    }),
  );
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

function bodyStream(
  chunks: AsyncGenerator<Uint8Array, void>,
  status: number,
  onEnd: (end: RequestEnd) => void,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const next = await chunks.next();
          if (!next.done) {
            controller.enqueue(next.value);
            return;
          }
          onEnd(status < 400 ? "completed" : "failed");
          controller.close();
        } catch {
          onEnd("failed");
          controller.error(undefined);
        }
      },
      async cancel() {
        onEnd("cancelled");
        await chunks.return();
      },
    },
    { highWaterMark: 0 },
  );
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
  // Bytes written in the same turn as the break are lost.
  await Bun.sleep(1);
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
