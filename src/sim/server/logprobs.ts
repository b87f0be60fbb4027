/** Log probabilities of an answer's tokens: made up, equal for equal tokens, and falling as they should. */
import { tokenId } from "./tokens.ts";

const ALTERNATIVES = [" the", " a", " of", " and", " to", " it", " no", " yes", " all", " one"];

/** Of the token that was chosen; at most 0. */
export function logprobOf(piece: string): number {
  return -(tokenId(piece) % 1_000) / 1_000;
}

/** The chosen token, then others less likely than it: `count` in all. */
export function topOf(piece: string, count: number): readonly (readonly [string, number])[] {
  const others = ALTERNATIVES.filter((other) => other !== piece)
    .slice(0, Math.max(0, count - 1))
    .map((other, rank) => [other, logprobOf(piece) - rank - 1] as const);
  return count < 1 ? [] : [[piece, logprobOf(piece)], ...others];
}

function shown(token: string, logprob: number): object {
  return { token, bytes: [...Buffer.from(token)], logprob };
}

/** `logprobs` of a chat choice. */
export function chatLogprobs(pieces: readonly string[], top: number): object {
  const content = pieces.map((piece) => ({
    ...shown(piece, logprobOf(piece)),
    top_logprobs: topOf(piece, top).map(([token, logprob]) => shown(token, logprob)),
  }));
  return { content };
}

/** LMDeploy's `output_token_logprobs`: pairs of log probability and token id. */
export function tokenLogprobs(pieces: readonly string[]): readonly (readonly [number, number])[] {
  return pieces.map((piece) => [logprobOf(piece), tokenId(piece)]);
}

/** `logprobs` of a choice of `/v1/completions`, as vLLM and SGLang give them. */
export function completionLogprobs(pieces: readonly string[], top: number, offset: number): object {
  const text_offset: number[] = [];
  let at = offset;
  for (const piece of pieces) {
    text_offset.push(at);
    at += piece.length;
  }
  return {
    text_offset,
    token_logprobs: pieces.map(logprobOf),
    tokens: pieces,
    top_logprobs: pieces.map((piece) => Object.fromEntries(topOf(piece, top))),
  };
}
