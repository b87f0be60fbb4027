import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

/** More names, or longer ones, are not believed: each costs memory in the index of models. */
const MAX_MODELS = 10_000;
const MAX_NAME_LENGTH = 512;

const ModelList = Type.Object({ data: Type.Array(Type.Object({ id: Type.String() })) });

/** The model names in an OpenAI model list, or null when it is none. */
export function readModels(body: string): string[] | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  if (!Value.Check(ModelList, value)) return null;
  const names = value.data
    .map(({ id }) => id)
    .filter((id) => id !== "" && id.length <= MAX_NAME_LENGTH);
  return [...new Set(names)].slice(0, MAX_MODELS);
}
