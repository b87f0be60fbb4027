import { type KnownModels, unknownModel } from "../core/admission/refusals.ts";
import type { ModelCard } from "../core/engine/model-list.ts";
import type { Services } from "./services.ts";

/** What is listed: the models of all nodes, and their further names. */
export type Listed = Pick<Services, "registry" | "aliases">;

/** `/v1/models` as OpenAI's clients and LMDeploy's expect it. */
export function openAiModels(listed: Listed, createdS: number) {
  return { object: "list", data: allCards(listed).map((card) => openAiModel(card, createdS)) };
}

/** @throws ProxyError model_not_found, or service_unavailable as long as that is not known. */
export function oneOpenAiModel(listed: Listed, id: string, createdS: number) {
  return openAiModel(oneCard(listed, id), createdS);
}

/** What the engines say of it, over what they leave out. */
function openAiModel(card: ModelCard, createdS: number) {
  return {
    object: "model",
    created: createdS,
    owned_by: "lmproxy",
    root: card.id,
    parent: null,
    permission: [],
    ...card,
  };
}

/** `/anthropic/v1/models` as Anthropic's clients expect it. */
export function anthropicModels(listed: Listed, createdS: number) {
  const data = allCards(listed).map((card) => anthropicModel(card, createdS));
  return {
    data,
    has_more: false,
    first_id: data.at(0)?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  };
}

/** @throws ProxyError as `oneOpenAiModel` */
export function oneAnthropicModel(listed: Listed, id: string, createdS: number) {
  return anthropicModel(oneCard(listed, id), createdS);
}

/** The last second of the year 9999, as far as dates are written with four digits, s since 1970. */
const LAST_DATE_S = 253_402_300_799;

function anthropicModel(card: ModelCard, createdS: number) {
  const { id, created } = card;
  const isDate = typeof created === "number" && created >= 0 && created <= LAST_DATE_S;
  const created_at = new Date((isDate ? created : createdS) * 1_000).toISOString();
  return { id, type: "model", display_name: id, created_at };
}

/** What refusals name: all that clients may ask for. */
export function knownModels(listed: Listed): KnownModels {
  return { nodes: () => listed.registry.nodes(), models: () => [...cards(listed).keys()] };
}

function oneCard(listed: Listed, id: string): ModelCard {
  const card = cards(listed).get(id);
  if (card === undefined) throw unknownModel({ model: id }, knownModels(listed));
  return card;
}

function allCards(listed: Listed): ModelCard[] {
  return [...cards(listed).values()];
}

/** Every model, each with the card of the first node that has one and the shortest context of all. */
function cards({ registry, aliases }: Listed): ReadonlyMap<string, ModelCard> {
  const merged = new Map<string, ModelCard>();
  for (const node of registry.nodes()) {
    for (const id of node.models) {
      merged.set(id, merge(merged.get(id), node.cards.get(id) ?? { id }));
    }
  }
  for (const [alias, name] of aliases.served) {
    merged.set(alias, { root: name, ...merged.get(name), id: alias });
  }
  return merged;
}

function merge(known: ModelCard | undefined, card: ModelCard): ModelCard {
  if (known === undefined) return card;
  if (Object.keys(known).length === 1) return card;
  const { max_model_len: length } = card;
  if (typeof length !== "number") return known;
  const isShorter = typeof known.max_model_len !== "number" || length < known.max_model_len;
  return isShorter ? { ...known, max_model_len: length } : known;
}
