/** A trace, prepared once for all the runs over it: what the proxy can know of each request, and what the engine will. */
import { type Hash, promptBlocks } from "../core/body/prompt-blocks.ts";
import { scanRequestHead } from "../core/body/request-head.ts";
import { type Asked, NOTHING_ASKED } from "../core/strategies/strategy.ts";
import { Column } from "./columns.ts";
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
  readonly idealHitRate: number;
  /** The trace's request at that place: made when it comes, since a million of them would not fit. */
  request(place: number): WorkloadRequest;
}

/** How often is told how far it is, in requests. */
const TELL_EVERY = 1_000;

/**
 * @param blockSizeTokens That of the engines.
 * @param tell Called now and then with how many requests are prepared.
 */
export function prepare(
  trace: Trace,
  blockSizeTokens: number,
  hash: Hash,
  tell?: (requests: number) => void,
): Workload {
  const { requests, blockTokens, prefixes } = trace;
  const bodies = new PromptBodies(trace);
  const lengths = new Column();
  /** The blocks of all prompts, one after the other, and where each prompt's begin and end. */
  const blocks = new Column();
  const blockEnds = new Column();
  const bounds = new Column();
  bounds.push(0);
  requests.forEach((request, place) => {
    if (place % TELL_EVERY === 0) tell?.(place);
    const body = bodies.of(request);
    const prompt = promptBlocks(body, scanRequestHead(body), hash);
    lengths.push(prompt.promptBytes);
    for (const block of prompt.blocks) blocks.push(block);
    for (const end of prompt.blockEnds) blockEnds.push(end);
    bounds.push(blocks.length);
  });
  return {
    trace,
    idealHitRate: idealHitRate(trace),
    request: (place) => {
      const request = requests[place];
      if (request === undefined) throw new Error(`no request ${place}`);
      const [from, to] = [bounds.at(place), bounds.at(place + 1)];
      const own = blocks.slice(from, to);
      const key = request.session < 0 ? null : hash(nameOf(request.session), 0);
      const asked = {
        ...NOTHING_ASKED,
        promptBytes: lengths.at(place),
        blocks: own,
        blockEnds: blockEnds.slice(from, to),
        stream: true,
        key: key ?? own[0] ?? null,
        session: key === null ? null : { id: key, model: 0 },
      };
      const path = prefixes.path(request.prefix);
      const blockHashes = engineBlocks(path, request.inputTokens, blockTokens, blockSizeTokens);
      return { ...request, asked, blockHashes };
    },
  };
}

const encoder = new TextEncoder();

function nameOf(session: number): Uint8Array {
  return encoder.encode(String(session));
}

/** The trace's blocks, cut anew to the engine's: equal numbers mean equal tokens, and equal ones before. */
function engineBlocks(
  blocks: readonly number[],
  inputTokens: number,
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
