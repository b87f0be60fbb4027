import { splitAlias } from "../core/model-alias.ts";
import type { Registry } from "../core/pool/registry.ts";

/** Further names of models (`--model-alias`): clients may call them so, and engines do not know. */
export class ModelAliases {
  readonly #names: ReadonlyMap<string, string>;
  readonly #registry: Pick<Registry, "serves">;

  /** @param aliases Each as `ALIAS=NAME`. */
  constructor(aliases: readonly string[], registry: Pick<Registry, "serves">) {
    this.#names = new Map(aliases.map(splitAlias));
    this.#registry = registry;
  }

  /**
   * The name by which engines know `model`; what some engine serves by that name is no alias. SGLang's
   * adapters are asked for as `model:adapter`, by any name of the model.
   */
  readonly ownName = (model: string): string => {
    const name = this.#meantBy(model);
    const colon = model.lastIndexOf(":");
    if (name !== null || colon < 0 || this.#registry.serves(model)) return name ?? model;
    const base = this.#meantBy(model.slice(0, colon));
    return base === null ? model : base + model.slice(colon);
  };

  #meantBy(alias: string): string | null {
    const name = this.#names.get(alias);
    return name === undefined || this.#registry.serves(alias) ? null : name;
  }

  /** Those that can be asked for now, each with the name that engines know. */
  get served(): readonly (readonly [alias: string, name: string])[] {
    const serves = (model: string) => this.#registry.serves(model);
    return [...this.#names].filter(([alias, name]) => serves(name) && !serves(alias));
  }
}
