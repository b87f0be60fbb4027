import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

/** More names, or longer ones, are not believed: each costs memory in the index of models. */
const MAX_MODELS = 10_000;
const MAX_NAME_LENGTH = 512;
/** What is nested deeper is left out: it can be read, but not be written again. */
const MAX_DEPTH = 64;

/** What an engine says of one of its models, as it gave it. */
export interface ModelCard {
  readonly id: string;
  /** What lies behind the name, where the engine says it: the path of the weights, mostly. */
  readonly root?: unknown;
  /** Of an adapter: the model it is for. */
  readonly parent?: unknown;
  readonly [field: string]: unknown;
}

const Card = Type.Unsafe<ModelCard>(Type.Object({ id: Type.String() }));
const ModelList = Type.Object({ data: Type.Array(Card) });

/** The models in an OpenAI model list, by name, or null when it is none. */
export function readModels(body: string): ReadonlyMap<string, ModelCard> | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  if (!Value.Check(ModelList, value)) return null;
  const cards = value.data.filter(({ id }) => id !== "" && id.length <= MAX_NAME_LENGTH);
  return new Map(cards.slice(0, MAX_MODELS).map((card) => [card.id, shallow(card)]));
}

function shallow(card: ModelCard): ModelCard {
  return nestsWithin(card, MAX_DEPTH) ? card : { id: card.id };
}

function nestsWithin(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((each) => nestsWithin(each, levels - 1));
}
