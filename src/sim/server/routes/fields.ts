/** Which fields LMDeploy's request models have, in their order (`serve/openai/protocol.py`). */
import type { EngineKind } from "../../../core/engine/kinds.ts";
import {
  boolean,
  type Check,
  either,
  type Fields,
  integer,
  list,
  listOf,
  number,
  object,
  string,
} from "../body.ts";

/** The fields for an engine of this kind: only LMDeploy has to be told its own model's name, and knows `session_id`. */
export function ofKind(kind: EngineKind, { required, optional }: Fields): Fields {
  if (kind === "lmdeploy") return { required, optional };
  const { model = string, ...needed } = required;
  const { session_id: _, ...others } = optional;
  return { required: needed, optional: { model, ...others } };
}

const STOP = either("str", string, listOf(string));
const TEXTS = either("str", string, listOf(string));

const SAMPLING: Readonly<Record<string, Check>> = {
  temperature: number,
  top_p: number,
  n: integer,
  max_completion_tokens: integer,
  max_tokens: integer,
  stop: STOP,
  stream: boolean,
  stream_options: object,
  presence_penalty: number,
  frequency_penalty: number,
  user: string,
  repetition_penalty: number,
  session_id: integer,
  ignore_eos: boolean,
  skip_special_tokens: boolean,
  top_k: integer,
  seed: integer,
  min_p: number,
};

export const CHAT: Fields = {
  required: { model: string, messages: listOf(object) },
  optional: {
    tools: listOf(object),
    logprobs: boolean,
    top_logprobs: integer,
    logit_bias: object,
    response_format: object,
    ...SAMPLING,
    min_new_tokens: integer,
    return_token_ids: boolean,
    return_logprob: boolean,
    include_stop_str_in_output: boolean,
    chat_template_kwargs: object,
    input_ids: listOf(integer),
  },
};

/** `messages` as a plain string, which was fine to 0.17. */
export const CHAT_WITH_PLAIN_MESSAGES: Fields = {
  ...CHAT,
  required: { model: string, messages: either("str", string, listOf(object)) },
};

export const COMPLETIONS: Fields = {
  required: { model: string, prompt: either("str", string, list) },
  optional: { suffix: string, logprobs: integer, ...SAMPLING, echo: boolean },
};

export const GENERATE: Fields = {
  required: {},
  optional: {
    session_id: integer,
    prompt: string,
    input_ids: listOf(integer),
    return_logprob: boolean,
    top_logprobs_num: integer,
    max_tokens: integer,
    stop: STOP,
    stop_token_ids: listOf(integer),
    stream: boolean,
    temperature: number,
    ignore_eos: boolean,
    top_p: number,
    top_k: integer,
  },
};

export const RESPONSES: Fields = {
  required: {},
  optional: {
    input: either("str", string, list),
    instructions: string,
    max_output_tokens: integer,
    metadata: object,
    model: string,
    previous_response_id: string,
    stream: boolean,
    temperature: number,
    tools: listOf(object),
    top_p: number,
    user: string,
    stop: STOP,
    seed: integer,
  },
};

export const COUNT_TOKENS: Fields = {
  required: { model: string, messages: listOf(object) },
  optional: { system: either("str", string, list), tools: listOf(object) },
};

export const MESSAGES: Fields = {
  required: { model: string, max_tokens: integer },
  optional: {
    messages: listOf(object),
    system: either("str", string, list),
    stop_sequences: listOf(string),
    stream: boolean,
    temperature: number,
    top_p: number,
    top_k: integer,
    tools: listOf(object),
    input_ids: listOf(integer),
    return_token_ids: boolean,
  },
};

export const EMBEDDINGS: Fields = { required: { input: TEXTS }, optional: { user: string } };
export const ENCODE: Fields = { required: { input: TEXTS }, optional: { do_preprocess: boolean } };
export const PERPLEXITY: Fields = {
  required: { input: either("str", string, listOf(integer)) },
  optional: {},
};
export const POOLING: Fields = {
  required: { input: either("list[int]", listOf(integer), string, list) },
  optional: { model: string },
};
export const ABORT: Fields = {
  required: {},
  optional: { abort_all: boolean, session_id: integer },
};
