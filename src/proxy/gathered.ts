/** What a proxy of several processes answers for all of them. */
import type { Member } from "../cluster/member.ts";
import type { Node } from "../core/pool/node.ts";
import type { Services } from "../http/services.ts";
import { mergePages, PastCounts } from "../observe/merge-pages.ts";
import { MOST_FAILURES, type NodeFailure } from "../observe/metrics.ts";
import { median, type NodeFigures } from "../observe/node-figures.ts";
import type { OpenRequest } from "../observe/open-requests.ts";

type Gathering = Pick<
  Services,
  "metricsPage" | "nodeFigures" | "nodeFailures" | "openRequests" | "explain" | "cancel"
>;

/** So many of one id are told, whoever knows them. */
const MOST_TOLD = 100;

interface FiguresOfOne {
  readonly url: string;
  readonly latenciesMs: readonly number[];
  readonly figures: NodeFigures;
}

export class Gathered {
  readonly #own: Services;
  readonly #members: () => readonly Member[];
  readonly #pages = new Map<Member, string>();
  readonly #past = new PastCounts();

  /** @param own Of the process that knows the nodes. */
  constructor(own: Services, members: () => readonly Member[]) {
    this.#own = own;
    this.#members = members;
  }

  get services(): Gathering {
    return {
      metricsPage: (openMetrics) => this.#metricsPage(openMetrics),
      nodeFigures: () => this.#nodeFigures(),
      nodeFailures: (node) => this.#nodeFailures(node),
      openRequests: () => this.#openRequests(),
      explain: async (id) => (await this.#lists({ do: "explain", id })).flat().slice(0, MOST_TOLD),
      cancel: async (id) => {
        const counts = await this.#all({ do: "cancel", id });
        return counts.reduce<number>((sum, n) => sum + (typeof n === "number" ? n : 0), 0);
      },
    };
  }

  /** What a worker has counted, as it says from time to time and at its end. */
  counted(member: Member, page: string): void {
    this.#pages.set(member, page);
  }

  /** A worker has ended. */
  gone(member: Member): void {
    const page = this.#pages.get(member);
    this.#pages.delete(member);
    if (page !== undefined) this.#past.add(page);
  }

  async #metricsPage(openMetrics: boolean): Promise<string> {
    const members = this.#members();
    const own = await this.#own.metricsPage(openMetrics);
    const pages = await Promise.all(
      members.map(async (member) => {
        const page = await member.channel.ask({ do: "metrics", openMetrics }).catch(() => null);
        if (typeof page !== "string") return [];
        this.#pages.set(member, page);
        return [page];
      }),
    );
    return mergePages(own, pages.flat(), this.#past, openMetrics);
  }

  async #nodeFigures(): Promise<ReadonlyMap<Node, NodeFigures>> {
    const own = await this.#own.nodeFigures();
    const theirs = (await this.#lists({ do: "figures" })).flat().filter(isFigures);
    const byUrl = Map.groupBy(theirs, ({ url }) => url);
    return new Map(
      [...own].map(([node, figures]) => {
        const parts = byUrl.get(node.url) ?? [];
        takeOver(node, parts);
        return [
          node,
          mergedFigures(
            figures,
            parts.map((part) => part.figures),
          ),
        ];
      }),
    );
  }

  async #nodeFailures({ url }: Node): Promise<NodeFailure[]> {
    const all = (await this.#lists({ do: "failures", url })).flat().filter(isFailure);
    return all.sort((a, b) => (a.at < b.at ? 1 : -1)).slice(0, MOST_FAILURES);
  }

  async #openRequests(): Promise<OpenRequest[]> {
    const all = (await this.#lists({ do: "requests" })).flat().filter(isOpenRequest);
    return all.sort((a, b) => b.age_s - a.age_s);
  }

  async #lists(question: Parameters<Member["channel"]["ask"]>[0]): Promise<unknown[][]> {
    const answers = await this.#all(question);
    return answers.filter((answer): answer is unknown[] => Array.isArray(answer));
  }

  /** Of those that have not ended meanwhile. */
  async #all(question: Parameters<Member["channel"]["ask"]>[0]): Promise<unknown[]> {
    const asked = this.#members().map(({ channel }) => channel.ask(question).catch(() => null));
    return await Promise.all(asked);
  }
}

/** The last latencies of all: each worker hears of those of the others, but a new one of none before. */
function takeOver({ latencies }: Node, parts: readonly FiguresOfOne[]): void {
  latencies.clear();
  const lists = parts.map(({ latenciesMs }) => latenciesMs);
  const longest = lists.reduce((most, one) => (one.length > most.length ? one : most), []);
  for (const ms of longest) latencies.add(ms);
}

/** Of medians the median: what lies beneath stays in its process. */
export function mergedFigures(own: NodeFigures, parts: readonly NodeFigures[]): NodeFigures {
  const of = (field: "first_byte_p50_s" | "first_byte_ratio" | "piece_p50_s" | "piece_ratio") =>
    median(parts.map((part) => part[field]).filter((value) => value !== null));
  const ages = parts.map((part) => part.oldest_request_s).filter((age) => age !== null);
  return {
    state_for_s: own.state_for_s,
    first_byte_p50_s: of("first_byte_p50_s"),
    first_byte_ratio: of("first_byte_ratio"),
    piece_p50_s: of("piece_p50_s"),
    piece_ratio: of("piece_ratio"),
    errors_5m: parts.reduce((sum, part) => sum + part.errors_5m, own.errors_5m),
    oldest_request_s: ages.length === 0 ? null : Math.max(...ages),
  };
}

function isFigures(value: unknown): value is FiguresOfOne {
  return typeof value === "object" && value !== null && "url" in value && "figures" in value;
}

function isFailure(value: unknown): value is NodeFailure {
  return typeof value === "object" && value !== null && "at" in value;
}

function isOpenRequest(value: unknown): value is OpenRequest {
  return typeof value === "object" && value !== null && "age_s" in value;
}
