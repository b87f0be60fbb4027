/** Endpoints beside the chat APIs: LMDeploy's own, embeddings, and what vLLM and SGLang add. */
import {
  type Answer,
  EngineRefusal,
  eventStream,
  jsonAnswer,
  SSE_DONE,
  sseEvent,
} from "../answer.ts";
import { booleanField, contentText, type JsonObject, listField, stringField } from "../body.ts";
import {
  type Completion,
  completionPieces,
  completionText,
  requestedModel,
  startCompletion,
} from "../completion.ts";
import type { Call, Engine } from "../engine.ts";
import { countTokens, decode, encode } from "../tokens.ts";

const EMBEDDING_SIZE = 16;

/** POST /generate, which names no model. */
export async function generate(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const prompt = stringField(body, "prompt");
  const inputIds = listField(body, "input_ids");
  if ((prompt === undefined) === (inputIds.length === 0)) {
    throw new EngineRefusal(400, "You must specify exactly one of prompt or input_ids");
  }
  const completion = startCompletion(engine, call, body, prompt ?? inputIds.join(" "));
  if (booleanField(body, "stream")) return eventStream(generateEvents(completion));
  const text = await completionText(completion);
  const reason = completion.finishReason;
  return jsonAnswer(generated(completion, text, completion.answerTokens, reason));
}

function generated(
  { prompt }: Completion,
  text: string,
  completion_tokens: number,
  reason: string | null,
): object {
  const finish_reason = reason && { type: reason };
  const meta_info = { finish_reason, prompt_tokens: prompt.tokens, completion_tokens };
  return { text, output_ids: encode(text), meta_info };
}

async function* generateEvents(completion: Completion): AsyncGenerator<string, void> {
  let tokens = 0;
  for await (const piece of completionPieces(completion)) {
    tokens += 1;
    const isLast = tokens === completion.answerTokens;
    yield sseEvent(generated(completion, piece, tokens, isLast ? completion.finishReason : null));
  }
  if (!completion.generation.isCancelled) yield SSE_DONE;
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
  const passes = texts.map((text) =>
    startCompletion(engine, call, { model: body.model, max_tokens: 1 }, text),
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

export async function embeddings(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
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

export async function pooling(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const model = requestedModel(engine, body);
  const passes = await forwardPasses(engine, call, body, textsOf(body, "input"));
  const data = passes.map((pass, index) => ({ index, object: "pooling", data: [score(pass)] }));
  return jsonAnswer({ object: "list", model, data, usage: inputUsage(passes) });
}

export async function perplexity(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const passes = await forwardPasses(engine, call, body, textsOf(body, "input").slice(0, 1));
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
  return jsonAnswer({ id: "rerank-0", model, results, usage: inputUsage(passes) });
}

export async function scoreTexts(engine: Engine, call: Call, body: JsonObject): Promise<Answer> {
  const model = requestedModel(engine, body);
  const [first = ""] = textsOf(body, "text_1");
  const texts = textsOf(body, "text_2").map((text) => `${first}\n${text}`);
  const passes = await forwardPasses(engine, call, body, texts);
  const data = passes.map((pass, index) => ({ index, object: "score", score: score(pass) }));
  return jsonAnswer({ id: "score-0", object: "list", model, data, usage: inputUsage(passes) });
}

/** POST /v1/encode: needs the tokenizer only. */
export function encodeTexts(_engine: Engine, _call: Call, body: JsonObject): Answer {
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
