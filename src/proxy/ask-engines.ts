import type { ToControl } from "../cluster/messages.ts";
import type { Assembled } from "./assemble.ts";

/** Of a process that knows the nodes, what workers have to do with. */
interface KnowsNodes extends Pick<Assembled, "engines"> {
  readonly services: Pick<Assembled["services"], "registry" | "discovery">;
  readonly events: Pick<Assembled["events"], "ended">;
}

/** What workers would ask engines by themselves, and what they have found out. */
export async function askEngines(
  question: ToControl,
  { services, engines, events }: KnowsNodes,
): Promise<unknown> {
  if (question.do === "find") return await services.discovery.find(question.model);
  if (question.do === "ended") {
    for (const [url, count] of question.counts) {
      const node = services.registry.get(url);
      if (node !== undefined) events.ended(node, count);
    }
    return undefined;
  }
  if (!("url" in question)) throw new Error("not understood");
  const { learning } = services.registry;
  const node = services.registry.get(question.url);
  if (node === undefined) return undefined;
  switch (question.do) {
    case "stillServes":
      return await engines.stillServes(node, question.model);
    case "isWell":
      return await engines.isWell(node);
    case "probe":
      return learning.suspect(node);
    case "doubted":
      return learning.doubted(node, question.why, question.reason);
    case "cleared":
      return learning.cleared(node);
    case "administer":
      throw new Error("not understood");
    default:
      return question satisfies never;
  }
}
