import { ProxyError } from "../core/errors.ts";
import type { Registry } from "../core/pool/registry.ts";

/** `/v1/models` as OpenAI's clients and LMDeploy's expect it. */
export function openAiModels(registry: Registry, createdS: number) {
  return { object: "list", data: registry.models().map((id) => openAiModel(id, createdS)) };
}

/** @throws ProxyError model_not_found */
export function oneOpenAiModel(registry: Registry, id: string, createdS: number) {
  assureKnown(registry, id);
  return openAiModel(id, createdS);
}

function assureKnown(registry: Registry, id: string): void {
  if (registry.models().includes(id)) return;
  throw new ProxyError("model_not_found", `The model \`${id}\` does not exist; see /v1/models.`, {
    param: "model",
  });
}

function openAiModel(id: string, createdS: number) {
  return {
    id,
    object: "model",
    created: createdS,
    owned_by: "lmproxy",
    root: id,
    parent: null,
    permission: [],
  };
}

/** `/anthropic/v1/models` as Anthropic's clients expect it. */
export function anthropicModels(registry: Registry, createdS: number) {
  const data = registry.models().map((id) => anthropicModel(id, createdS));
  return {
    data,
    has_more: false,
    first_id: data.at(0)?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  };
}

/** @throws ProxyError model_not_found */
export function oneAnthropicModel(registry: Registry, id: string, createdS: number) {
  assureKnown(registry, id);
  return anthropicModel(id, createdS);
}

function anthropicModel(id: string, createdS: number) {
  return {
    id,
    type: "model",
    display_name: id,
    created_at: new Date(createdS * 1_000).toISOString(),
  };
}
