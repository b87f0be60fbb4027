/** The bodies of what engines offer beside chat, described as loosely as those in `chat-schemas.ts`. */
import { Type } from "@sinclair/typebox";
import { ModelName, OPEN, OptionalUsage, Stream } from "./chat-schemas.ts";

const Texts = Type.Union([
  Type.String(),
  Type.Array(Type.String()),
  Type.Array(Type.Integer()),
  Type.Array(Type.Array(Type.Integer())),
]);

const TokenIds = Type.Array(Type.Integer());

const List = {
  object: Type.Literal("list"),
  model: Type.Optional(Type.String()),
  usage: OptionalUsage,
};

export const ENGINE_SCHEMAS = {
  EmbeddingRequest: Type.Object(
    {
      model: ModelName,
      input: Texts,
      encoding_format: Type.Optional(Type.Union([Type.Literal("float"), Type.Literal("base64")])),
      dimensions: Type.Optional(Type.Integer({ minimum: 1 })),
    },
    OPEN,
  ),
  EmbeddingList: Type.Object(
    {
      ...List,
      data: Type.Array(
        Type.Object(
          {
            object: Type.Literal("embedding"),
            index: Type.Integer(),
            embedding: Type.Union([Type.Array(Type.Number()), Type.String()], {
              description: "Numbers; with base64, little-endian 32-bit floats as text",
            }),
          },
          OPEN,
        ),
      ),
    },
    OPEN,
  ),
  EncodeRequest: Type.Object(
    {
      model: ModelName,
      input: Type.Union([Type.String(), Type.Array(Type.String())]),
      do_preprocess: Type.Optional(Type.Boolean({ description: "Apply the chat template first" })),
      add_bos: Type.Optional(Type.Boolean()),
    },
    OPEN,
  ),
  EncodedText: Type.Object(
    {
      input_ids: Type.Union([TokenIds, Type.Array(TokenIds)]),
      length: Type.Union([Type.Integer(), Type.Array(Type.Integer())]),
    },
    OPEN,
  ),
  RerankRequest: Type.Object(
    {
      model: ModelName,
      query: Type.String(),
      documents: Type.Array(Type.Union([Type.String(), Type.Object({}, OPEN)])),
      top_n: Type.Optional(Type.Integer({ minimum: 1 })),
    },
    OPEN,
  ),
  Ranking: Type.Object(
    {
      model: Type.Optional(Type.String()),
      results: Type.Array(
        Type.Object({ index: Type.Integer(), relevance_score: Type.Number() }, OPEN),
        {
          description: "Best first; index counts the documents sent",
        },
      ),
      usage: OptionalUsage,
    },
    OPEN,
  ),
  ScoreRequest: Type.Object(
    {
      model: ModelName,
      text_1: Type.Union([Type.String(), Type.Array(Type.String())]),
      text_2: Type.Union([Type.String(), Type.Array(Type.String())]),
    },
    OPEN,
  ),
  ScoreList: Type.Object(
    {
      ...List,
      data: Type.Array(Type.Object({ index: Type.Integer(), score: Type.Number() }, OPEN)),
    },
    OPEN,
  ),
  PoolingRequest: Type.Object({ model: ModelName, input: Texts }, OPEN),
  PoolingList: Type.Object(
    {
      ...List,
      data: Type.Array(Type.Object({ index: Type.Integer(), data: Type.Unknown() }, OPEN)),
    },
    OPEN,
  ),
  PerplexityRequest: Type.Object({ model: ModelName, input: Texts }, OPEN),
  Perplexity: Type.Object({ ppl: Type.Number() }, OPEN),
  GenerateRequest: Type.Object(
    {
      prompt: Type.Optional(Type.String()),
      input_ids: Type.Optional(TokenIds),
      stream: Stream,
      max_tokens: Type.Optional(Type.Integer({ minimum: 1 })),
    },
    { ...OPEN, description: "Either prompt or input_ids. There is no model in it." },
  ),
  GeneratedText: Type.Object(
    { text: Type.String(), output_ids: Type.Optional(TokenIds), meta_info: Type.Object({}, OPEN) },
    OPEN,
  ),
  TokenizeRequest: Type.Object(
    {
      model: ModelName,
      prompt: Type.Optional(Type.String()),
      messages: Type.Optional(Type.Array(Type.Object({}, OPEN))),
    },
    { ...OPEN, description: "Either prompt or messages" },
  ),
  TokenList: Type.Object({ tokens: TokenIds, count: Type.Optional(Type.Integer()) }, OPEN),
  DetokenizeRequest: Type.Object({ model: ModelName, tokens: TokenIds }, OPEN),
  DetokenizedText: Type.Object({ prompt: Type.String() }, OPEN),
};
