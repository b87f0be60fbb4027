/** A short text that matches a regular expression, as far as guided decoding uses them. */

/** Text for `pattern`: first alternatives, fewest repetitions. Assertions and back-references are not seen. */
export function regexSample(pattern: string): string {
  return new Sampler(pattern).alternatives();
}

const ESCAPES: Readonly<Record<string, string>> = {
  d: "1",
  D: "a",
  w: "a",
  W: " ",
  s: " ",
  S: "a",
  n: "\n",
  t: "\t",
  r: "\r",
  b: "",
  B: "",
};

class Sampler {
  readonly #characters: readonly string[];
  #at = 0;

  constructor(pattern: string) {
    this.#characters = [...pattern];
  }

  /** Up to the end, or to the bracket that closes this group. */
  alternatives(): string {
    const first = this.#sequence();
    while (this.#take("|")) this.#sequence();
    return first;
  }

  #sequence(): string {
    let text = "";
    while (this.#at < this.#characters.length && !"|)".includes(this.#peek())) {
      const atom = this.#atom();
      text += atom.repeat(this.#repetitions());
    }
    return text;
  }

  #atom(): string {
    const character = this.#next();
    switch (character) {
      case "(": {
        this.#skipGroupHead();
        const text = this.alternatives();
        this.#take(")");
        return text;
      }
      case "[":
        return this.#class();
      case ".":
        return "a";
      case "^":
      case "$":
        return "";
      case "\\":
        return this.#escape();
      default:
        return character;
    }
  }

  #escape(): string {
    const character = this.#next();
    return ESCAPES[character] ?? character;
  }

  /** `(?:`, `(?<name>` and the like. */
  #skipGroupHead(): void {
    if (!this.#take("?")) return;
    const kind = this.#next();
    if (kind === "P" || kind === "<")
      while (this.#at < this.#characters.length && this.#next() !== ">");
  }

  #class(): string {
    const isNegated = this.#take("^");
    const members: string[] = [];
    do {
      const character = this.#next();
      members.push(character === "\\" ? this.#escape() : character);
    } while (this.#at < this.#characters.length && !this.#take("]"));
    if (!isNegated) return members[0] ?? "";
    return ["a", "1", "Z", " ", "~"].find((one) => !members.includes(one)) ?? "é";
  }

  #repetitions(): number {
    let count = 1;
    if (this.#take("*") || this.#take("?")) count = 0;
    else if (this.#take("{")) {
      const bounds = this.#upTo("}");
      count = Number.parseInt(bounds, 10) || 0;
    } else this.#take("+");
    // Lazy and possessive say nothing about what matches.
    if (!this.#take("?")) this.#take("+");
    return count;
  }

  #upTo(end: string): string {
    let text = "";
    while (this.#at < this.#characters.length && !this.#take(end)) text += this.#next();
    return text;
  }

  #peek(): string {
    return this.#characters[this.#at] ?? "";
  }

  #next(): string {
    const character = this.#peek();
    this.#at += 1;
    return character;
  }

  #take(character: string): boolean {
    if (this.#peek() !== character || character === "") return false;
    this.#at += 1;
    return true;
  }
}
