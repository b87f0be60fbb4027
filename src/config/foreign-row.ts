/** What a flag of another router is, and how the rows of their tables are written. */
import type { PRODUCTS } from "./schema.ts";

export type Product = (typeof PRODUCTS)[number];

export type Becomes =
  /** Our own flags, or a sentence that says why these values cannot be. */
  | {
      readonly kind: "ours";
      readonly as: (values: readonly string[], product: Product | null) => Taken;
      /** With any other serving strategy it says nothing, as there. */
      readonly onlyIn?: "DistServe";
    }
  | { readonly kind: "nothing"; readonly because: string }
  | { readonly kind: "refused"; readonly because: string };

export interface Taken {
  /** Words for our own parser; the flags among them are what the note names. */
  readonly words: readonly string[];
  /** Words that count only where the user gave no such flag. */
  readonly otherwise?: readonly string[];
  /** Said instead of «--theirs is taken as --ours». */
  readonly note?: string;
  /** Whether that is less than what was asked for: a warning. */
  readonly isLoss?: boolean;
  readonly refused?: string;
}

export interface ForeignFlag {
  /** Without dashes. */
  readonly name: string;
  readonly products: readonly Product[];
  /** Whether a word follows it. */
  readonly takesValues: boolean;
  /** Whether several may: all up to the next flag. */
  readonly isList: boolean;
  readonly becomes: Becomes;
}

const LETTERS: Readonly<Record<string, Product>> = {
  V: "vllm-router",
  S: "sglang-router",
  M: "smg",
};

/** Routers by their first letters: `VSM`, `SM`, `M`. */
function productsOf(letters: string): Product[] {
  return [...letters].flatMap((letter) => LETTERS[letter] ?? []);
}

/**
 * The flags of one reason.
 * @param names by the routers that have them, separated by blanks; one that ends in `?` is a switch, in
 *   `*` a list
 */
export function rows(becomes: Becomes, names: Readonly<Record<string, string>>): ForeignFlag[] {
  return Object.entries(names).flatMap(([letters, list]) =>
    list.split(" ").map((name) => ({
      name: name.replace(/[?*]$/, ""),
      products: productsOf(letters),
      takesValues: !name.endsWith("?"),
      isList: name.endsWith("*"),
      becomes,
    })),
  );
}
