import { useRef } from "preact/hooks";
import { type Cluster, nameOf } from "./cluster.ts";
import { plain } from "./words.ts";

/** More at once would be read out for minutes. */
const MOST_NAMED = 3;

/** The last thing that happened to nodes, in words for who does not see the table. */
export function useNews(cluster: Cluster): string {
  const known = useRef<{ states: Map<number, string>; news: string }>({
    states: new Map(),
    news: "",
  });
  const states = new Map(cluster.nodes.map((node) => [node.key, node.text("state")]));
  const before = known.current.states;
  const changed = cluster.nodes.filter(
    ({ key }) => before.has(key) && before.get(key) !== states.get(key),
  );
  known.current.states = states;
  if (changed.length > 0) {
    const named = changed.slice(0, MOST_NAMED).map((node) => {
      const state = node.text("state");
      const reason = state === "unhealthy" ? `: ${node.text("reason")}` : "";
      return `${nameOf(node)} is ${state}${plain(reason)}.`;
    });
    const more = changed.length - named.length;
    known.current.news = named.join(" ") + (more > 0 ? ` So have ${more} more changed.` : "");
  }
  return known.current.news;
}
