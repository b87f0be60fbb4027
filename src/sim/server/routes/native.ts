/** Endpoints beside the chat APIs: LMDeploy's own, and what vLLM and SGLang have instead. */

import { isObject, type JsonObject } from "../../../core/json-object.ts";
import {
  type Answer,
  EngineRefusal,
  eventStream,
  jsonAnswer,
  SSE_DONE,
  sseEvent,
  Unhandled,
} from "../answer.ts";
import {
  booleanField,
  checkFields,
  contentText,
  listField,
  numberField,
  stringField,
} from "../body.ts";
import type { Call } from "../call.ts";
import {
  type Completion,
  completionPieces,
  completionText,
  finishOf,
  requestedModel,
  saidTokens,
  shortId,
  startCompletion,
  wholePieces,
} from "../completion.ts";
import type { Engine } from "../engine.ts";
import { logprobOf, topOf } from "../logprobs.ts";
import { checkSampling } from "../sampling.ts";
import { withFailure } from "../stream-errors.ts";
import { structuredPieces } from "../structured.ts";
import { countTokens, decode, encode, tokenId } from "../tokens.ts";
import { chosenSessionOf, refuseOccupied } from "./chat.ts";
import { EMBEDDINGS, ENCODE, GENERATE, ofKind, PERPLEXITY, POOLING } from "./fields.ts";

const EMBEDDING_SIZE = 16;

/** Of `/generate`, in LMDeploy. */
const DEFAULT_MAX_TOKENS = 128;

/** POST /generate, which names no model. SGLang's has `text` and keeps sampling parameters apart. */
export async function generate(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const sampling = isObject(body.sampling_params) ? body.sampling_params : {};
  const merged = { max_tokens: DEFAULT_MAX_TOKENS, ...sampling, ...body };
  checkFields(merged, ofKind(engine.settings.kind, GENERATE));
  const chosenSession = chosenSessionOf(engine, merged);
  refuseOccupied(engine, chosenSession);
  checkSampling(merged);
  const text = generatePrompt(engine, body);
  const model = engine.models[0] ?? "";
  const pieces = structuredPieces(merged);
  const completion = startCompletion(engine, call, merged, text, { model, pieces, chosenSession });
  if (booleanField(body, "stream")) {
    return eventStream(withFailure(engine.settings, generateEvents(body, completion)));
  }
  const said = await wholePieces(completion);
  return jsonAnswer(generated(body, completion, said, saidTokens(completion), true));
}

function generatePrompt({ settings }: Engine, body: JsonObject): string {
  const name = settings.kind === "sglang" ? "text" : "prompt";
  const prompt = stringField(body, name);
  const ids = body.input_ids ?? undefined;
  if ((prompt === undefined) === (ids === undefined)) {
    throw new EngineRefusal(400, `You must specify exactly one of ${name} or input_ids`);
  }
  if (prompt === "") throw new EngineRefusal(400, "The prompt must not be an empty string");
  if (prompt !== undefined) return prompt;
  const list = listField(body, "input_ids");
  if (list.length === 0) throw new EngineRefusal(400, "The input_ids must not be an empty list");
  return list.join(" ");
}

function generated(
  body: JsonObject,
  completion: Completion,
  pieces: readonly string[],
  completion_tokens: number,
  isLast: boolean,
): object {
  const top = numberField(body, "top_logprobs_num") ?? 0;
  const wants = booleanField(body, "return_logprob") && pieces.length > 0;
  const pairs = (piece: string) => topOf(piece, top).map(([token, p]) => [p, tokenId(token)]);
  return {
    text: pieces.join(""),
    output_ids: pieces.map(tokenId),
    meta_info: {
      prompt_tokens: completion.prompt.tokens,
      completion_tokens,
      finish_reason: isLast ? { type: finishOf(completion) } : null,
      output_token_logprobs: wants ? pieces.map((one) => [logprobOf(one), tokenId(one)]) : null,
      input_token_logprobs: null,
      output_top_logprobs: wants && top > 0 ? pieces.map(pairs) : null,
      input_top_logprobs: null,
      routed_experts: null,
    },
  };
}

async function* generateEvents(
  body: JsonObject,
  completion: Completion,
): AsyncGenerator<string, void> {
  let tokens = 0;
  for await (const piece of completionPieces(completion)) {
    tokens += 1;
    yield sseEvent(generated(body, completion, [piece], tokens, false));
  }
  yield sseEvent(generated(body, completion, [], tokens, true));
  yield SSE_DONE;
}

/** The texts of an `input`-like field: a string, strings, token ids or lists of them. */
function textsOf(body: JsonObject, name: string): readonly string[] {
  const list = listField(body, name);
  if (list.length === 0) throw new EngineRefusal(400, `The field '${name}' must not be empty.`);
  if (typeof list[0] === "number") return [list.join(" ")];
  return list.map((one) => (Array.isArray(one) ? one.join(" ") : contentText(one)));
}

/** Runs one sequence of a single token over each text: the cost of a forward pass. */
async function forwardPasses(
  engine: Engine,
  call: Call,
  body: JsonObject,
  texts: readonly string[],
): Promise<readonly Completion[]> {
  const model = stringField(body, "model") ?? engine.models[0] ?? "";
  const passes = texts.map((text) =>
    startCompletion(engine, call, { max_tokens: 1 }, text, { model }),
  );
  await Promise.all(passes.map((pass) => completionText(pass)));
  return passes;
}

function inputUsage(passes: readonly Completion[]): object {
  const tokens = passes.reduce((total, { prompt }) => total + prompt.tokens, 0);
  return { prompt_tokens: tokens, completion_tokens: 0, total_tokens: tokens };
}

function vector(fingerprint: number): Float32Array {
  return Float32Array.from({ length: EMBEDDING_SIZE }, (_, i) => Math.sin(fingerprint * (i + 1)));
}

/** A score in [0, 1) that depends on the text alone. */
function score({ prompt }: Completion): number {
  return (prompt.fingerprint % 1_000) / 1_000;
}

/** POST /v1/embeddings: LMDeploy has the path and nothing behind it, whatever the backend. */
export async function embeddings(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  if (engine.settings.kind === "lmdeploy") {
    checkFields(body, EMBEDDINGS);
    throw new EngineRefusal(400, "Unsupported by turbomind.");
  }
  const model = requestedModel(engine, body);
  const passes = await forwardPasses(engine, call, body, textsOf(body, "input"));
  const data = passes.map(({ prompt }, index) => {
    const floats = vector(prompt.fingerprint);
    const isBase64 = body.encoding_format === "base64";
    const embedding = isBase64 ? Buffer.from(floats.buffer).toString("base64") : [...floats];
    return { object: "embedding", index, embedding };
  });
  return jsonAnswer({ object: "list", data, model, usage: inputUsage(passes) });
}

/** POST /pooling: LMDeploy falls over a model that gives no reward, as all of these are. */
export async function pooling(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  if (engine.settings.kind === "lmdeploy") {
    checkFields(body, POOLING);
    if (listField(body, "input").length > 0) throw new Unhandled("model is not a reward model");
    throw new EngineRefusal(400, "Input list cannot be empty.");
  }
  const model = requestedModel(engine, body);
  const passes = await forwardPasses(engine, call, body, textsOf(body, "input"));
  const data = passes.map((pass, index) => ({ index, object: "pooling", data: [score(pass)] }));
  return jsonAnswer({ object: "list", model, data, usage: inputUsage(passes) });
}

export async function perplexity(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  checkFields(body, PERPLEXITY);
  const input = listField(body, "input").join(" ");
  if (input === "") throw new EngineRefusal(400, "Input must not be empty.");
  const passes = await forwardPasses(engine, call, body, [input]);
  return jsonAnswer({ ppl: passes.map((pass) => 1 + score(pass))[0] });
}

export async function rerank(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const model = requestedModel(engine, body);
  const query = stringField(body, "query") ?? "";
  const documents = textsOf(body, "documents");
  const texts = documents.map((text) => `${query}\n${text}`);
  const passes = await forwardPasses(engine, call, body, texts);
  const results = passes
    .map((pass, index) => ({
      index,
      document: { text: documents[index] },
      relevance_score: score(pass),
    }))
    .sort((a, b) => b.relevance_score - a.relevance_score);
  return jsonAnswer({ id: `rerank-${shortId()}`, model, results, usage: inputUsage(passes) });
}

export async function scoreTexts(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const model = requestedModel(engine, body);
  const [first = ""] = textsOf(body, "text_1");
  const texts = textsOf(body, "text_2").map((text) => `${first}\n${text}`);
  const passes = await forwardPasses(engine, call, body, texts);
  const data = passes.map((pass, index) => ({ index, object: "score", score: score(pass) }));
  return jsonAnswer({
    id: `score-${shortId()}`,
    object: "list",
    model,
    data,
    usage: inputUsage(passes),
  });
}

/** POST /v1/encode: needs the tokenizer only. */
export function encodeTexts(_engine: Engine, _call: Call, body: JsonObject): Answer {
  checkFields(body, ENCODE);
  const ids = textsOf(body, "input").map(encode);
  const isList = Array.isArray(body.input);
  const length = ids.map((one) => one.length);
  return jsonAnswer({ input_ids: isList ? ids : ids[0], length: isList ? length : length[0] });
}

export function tokenize(_engine: Engine, _call: Call, body: JsonObject): Answer {
  const text = stringField(body, "prompt") ?? contentText(listField(body, "messages"));
  return jsonAnswer({ tokens: encode(text), count: countTokens(text), max_model_len: 131_072 });
}

export function detokenize(_engine: Engine, _call: Call, body: JsonObject): Answer {
  const ids = listField(body, "tokens").filter((id) => typeof id === "number");
  return jsonAnswer({ prompt: decode(ids) });
}
