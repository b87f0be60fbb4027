/** Finds the node in the first row of the live page, as that ranks what it is told, and in nothing else. */
import { Cluster, isFrame } from "../../src/page/cluster.ts";
import { FLOODED, ranked, silenceOf } from "../../src/page/rank.ts";
import { causeOf, type Named } from "./cause.ts";

export class Watched {
  readonly #cluster = new Cluster();

  /** Looks at the page of `proxyUrl` for as long as that runs. */
  constructor(proxyUrl: string) {
    this.#read(proxyUrl).catch(() => {});
  }

  async #read(proxyUrl: string): Promise<void> {
    const { body } = await fetch(`${proxyUrl}/debug/live`);
    const decoder = new TextDecoder();
    let rest = "";
    for await (const piece of body ?? []) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const frame: unknown = JSON.parse(line);
        if (isFrame(frame)) this.#cluster.apply(frame);
      }
    }
  }

  named(): Named | null {
    const { nodes, tMs } = this.#cluster;
    const [first] = ranked(nodes, null, tMs);
    if (first === undefined) return null;
    const node = first.text("url");
    if (first.text("state") !== "healthy") {
      const cause = causeOf(first.text("reason"));
      return cause === null ? null : { node, cause };
    }
    if ((first.number("foreign") ?? 0) >= FLOODED) return { node, cause: "flooded" };
    if (silenceOf(first, tMs) !== null) return { node, cause: "hung" };
    return (first.number("errors") ?? 0) > 0 ? { node, cause: "errors" } : null;
  }
}
