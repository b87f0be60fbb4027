import type { Endpoint } from "./endpoint.ts";
import { EXAMPLE_MODEL } from "./example-model.ts";

const MODEL = EXAMPLE_MODEL;
const USAGE = { prompt_tokens: 8, total_tokens: 8 };

const embeddings: Endpoint = {
  operationId: "createEmbeddings",
  summary: "Embed texts",
  description: "OpenAI's Embeddings.",
  request: "EmbeddingRequest",
  requests: {
    texts: {
      summary: "Two texts",
      value: { model: MODEL, input: ["The sky is blue.", "Grass is green."] },
    },
  },
  answer: "EmbeddingList",
  answered: {
    object: "list",
    data: [{ object: "embedding", index: 0, embedding: [0.12, -0.5, 0.33] }],
    model: MODEL,
    usage: USAGE,
  },
};

const encode: Endpoint = {
  operationId: "encodeText",
  summary: "Turn text into tokens (LMDeploy)",
  description: "LMDeploy's tokenizer.",
  request: "EncodeRequest",
  requests: { text: { summary: "A text", value: { input: "The sky is blue." } } },
  answer: "EncodedText",
  answered: { input_ids: [1, 918, 8143, 505, 6548], length: 5 },
};

const rerank: Endpoint = {
  operationId: "rerank",
  summary: "Rank documents by a question",
  description: "As vLLM, SGLang and Jina have it.",
  request: "RerankRequest",
  requests: {
    documents: {
      summary: "Two documents",
      value: {
        model: MODEL,
        query: "Why is the sky blue?",
        documents: ["Grass is green.", "Air scatters blue light."],
      },
    },
  },
  answer: "Ranking",
  answered: {
    id: "rerank-1",
    model: MODEL,
    results: [
      { index: 1, document: { text: "Air scatters blue light." }, relevance_score: 0.93 },
      { index: 0, document: { text: "Grass is green." }, relevance_score: 0.08 },
    ],
    usage: USAGE,
  },
};

const score: Endpoint = {
  operationId: "score",
  summary: "Score pairs of texts",
  description: "As vLLM has it.",
  request: "ScoreRequest",
  requests: {
    pair: {
      summary: "One text against two",
      value: {
        model: MODEL,
        text_1: "Why is the sky blue?",
        text_2: ["Grass is green.", "Air scatters blue light."],
      },
    },
  },
  answer: "ScoreList",
  answered: {
    id: "score-1",
    object: "list",
    model: MODEL,
    data: [{ index: 0, object: "score", score: 0.08 }],
    usage: USAGE,
  },
};

const pooling: Endpoint = {
  operationId: "pool",
  summary: "Pool hidden states",
  description: "What a reward or classification model says of texts.",
  request: "PoolingRequest",
  requests: {
    text: { summary: "A text", value: { model: MODEL, input: "The sky is blue." } },
  },
  answer: "PoolingList",
  answered: {
    object: "list",
    model: MODEL,
    data: [{ index: 0, object: "pooling", data: [0.42] }],
    usage: USAGE,
  },
};

const perplexity: Endpoint = {
  operationId: "getPerplexity",
  summary: "Measure how likely a text is (LMDeploy)",
  description: "LMDeploy's perplexity.",
  request: "PerplexityRequest",
  requests: {
    text: { summary: "A text", value: { model: MODEL, input: "The sky is blue." } },
  },
  answer: "Perplexity",
  answered: { ppl: 4.2 },
};

const generate: Endpoint = {
  operationId: "generate",
  summary: "Generate, without a chat (LMDeploy, SGLang)",
  description: "The engine's own way to generate. It names no model, so only one may be served.",
  request: "GenerateRequest",
  requests: {
    whole: { summary: "A prompt", value: { prompt: "The sky is blue because", max_tokens: 32 } },
    streamed: {
      summary: "A streamed answer",
      value: { prompt: "The sky is blue because", max_tokens: 32, stream: true },
    },
  },
  answer: "GeneratedText",
  answered: {
    text: " air scatters blue light.",
    output_ids: [3114, 72, 904],
    meta_info: { finish_reason: { type: "stop" }, prompt_tokens: 6, completion_tokens: 3 },
  },
  streamed: 'data: {"text": " air", "meta_info": {"finish_reason": null}}\n\ndata: [DONE]\n\n',
};

const tokenize: Endpoint = {
  operationId: "tokenize",
  summary: "Turn text into tokens (vLLM, SGLang)",
  description: "The tokenizer of vLLM and SGLang.",
  request: "TokenizeRequest",
  requests: {
    text: { summary: "A text", value: { model: MODEL, prompt: "The sky is blue." } },
  },
  answer: "TokenList",
  answered: { tokens: [918, 8143, 505, 6548], count: 4, max_model_len: 32768 },
};

const detokenize: Endpoint = {
  operationId: "detokenize",
  summary: "Turn tokens into text (vLLM, SGLang)",
  description: "The tokenizer of vLLM and SGLang, the other way.",
  request: "DetokenizeRequest",
  requests: {
    tokens: { summary: "Tokens", value: { model: MODEL, tokens: [918, 8143, 505, 6548] } },
  },
  answer: "DetokenizedText",
  answered: { prompt: "The sky is blue." },
};

/** In the order of the document. */
export const ENGINE_ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  "/v1/embeddings": embeddings,
  "/v1/encode": encode,
  "/v1/rerank": { ...rerank, operationId: "rerankV1" },
  "/v1/score": { ...score, operationId: "scoreV1" },
  "/pooling": pooling,
  "/get_ppl": perplexity,
  "/generate": generate,
  "/rerank": rerank,
  "/score": score,
  "/tokenize": tokenize,
  "/detokenize": detokenize,
};
