/** A trace, prepared once for all the runs over it: what the proxy can know of each request, and what the engine will. */
import { type Hash, promptBlocks } from "../core/body/prompt-blocks.ts";
import { scanRequestHead } from "../core/body/request-head.ts";
import { type Asked, NOTHING_ASKED } from "../core/strategies/strategy.ts";
import { PromptBodies } from "./prompt-body.ts";
import { idealHitRate, type Trace, type TraceRequest } from "./trace/trace.ts";

export interface WorkloadRequest extends TraceRequest {
  /** Made by the proxy's own code from a body that holds no more than a client would send. */
  readonly asked: Asked;
  /** One number for each full block of the engine's, for the engine alone. */
  readonly blockHashes: readonly number[];
}

export interface Workload {
  readonly trace: Trace;
  readonly requests: readonly WorkloadRequest[];
  readonly idealHitRate: number;
}

/** @param blockSizeTokens That of the engines. */
export function prepare(trace: Trace, blockSizeTokens: number, hash: Hash): Workload {
  const bodies = new PromptBodies(trace);
  const requests = trace.requests.map((request) => {
    const body = bodies.of(request);
    const prompt = promptBlocks(body, scanRequestHead(body), hash);
    const key = request.session < 0 ? null : hash(nameOf(request.session), 0);
    const session = key === null ? null : { id: key, model: 0 };
    return {
      ...request,
      asked: {
        ...NOTHING_ASKED,
        ...prompt,
        stream: true,
        key: key ?? prompt.blocks[0] ?? null,
        session,
      },
      blockHashes: engineBlocks(request, trace.blockTokens, blockSizeTokens),
    };
  });
  return { trace, requests, idealHitRate: idealHitRate(trace) };
}

const encoder = new TextEncoder();

function nameOf(session: number): Uint8Array {
  return encoder.encode(String(session));
}

/** The trace's blocks, cut anew to the engine's: equal numbers mean equal tokens, and equal ones before. */
function engineBlocks(
  { blocks, inputTokens }: TraceRequest,
  blockTokens: number,
  size: number,
): number[] {
  const full = Math.floor(Math.min(inputTokens, blocks.length * blockTokens) / size);
  const places = Math.ceil(blockTokens / size) + 1;
  return Array.from({ length: full }, (_, i) => {
    const lastToken = (i + 1) * size - 1;
    const place = Math.floor(lastToken / blockTokens);
    const within = Math.floor((lastToken - place * blockTokens) / size);
    return (blocks[place] ?? 0) * places + within;
  });
}
