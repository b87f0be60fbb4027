/** `lmproxy explain ID`: how a request went, and why its nodes were chosen. */
import { type Static, Type } from "@sinclair/typebox";
import { Command } from "commander";
import { flagGroup } from "../config/flag.ts";
import { Explanations } from "../http/schemas.ts";
import { type Run, readArguments } from "./command.ts";
import { ProxyClient } from "./proxy-client.ts";
import { JSON_FIELD, jsonFlag, PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";
import { count, plain, shortTime, tableLines, wrapped } from "./table.ts";

const Settings = Type.Object({ ...PROXY_FIELDS, json: JSON_FIELD });

const FLAGS = [
  ...flagGroup("Output", [jsonFlag("Print JSON, as GET /debug/requests/{id} answers.")]),
  ...PROXY_FLAGS,
];

/** Characters of a line, where no name or URL is longer. */
const WIDTH = 100;

type Explanation = Static<typeof Explanations>[number];
type Attempt = Explanation["attempts"][number];
type Choice = NonNullable<Attempt["choice"]>;

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy explain")
    .description("Show how a request went, and why its nodes were chosen.")
    .argument("<id>", "the request's, as X-Request-Id and the log have it");
  const line = await readArguments(
    command,
    FLAGS,
    Settings,
    argv,
    surroundings,
    "LMPROXY_EXPLAIN_",
  );
  if (line === null) return 0;
  const { proxyUrl, adminKey, json } = line.values;
  const path = `/debug/requests/${encodeURIComponent(line.operands[0] ?? "")}`;
  const client = new ProxyClient(proxyUrl, adminKey);
  const answer = client.as(Explanations, await client.get(path));
  // The proxy refuses an id of which nothing is known.
  if (answer.length === 0) throw await client.stranger();
  const drawn = json ? `${JSON.stringify(answer, null, 2)}\n` : answer.map(draw).join("\n");
  await surroundings.print(drawn);
  return 0;
};

function draw(one: Explanation): string {
  const how = one.outcome === null ? `${one.phase ?? "runs"} now` : one.outcome;
  const facts = [
    ["client", one.client],
    ["asked", `${one.path}${one.model === null ? "" : `, model ${one.model}`}`],
    ["got", `${one.status ?? "nothing yet"} (${how}${one.error === null ? "" : `, ${one.error}`})`],
    ["times", times(one)],
    ["answer", `${count(one.bytes_out, "byte")} in ${count(one.pieces, "piece")}`],
    ["tokens", tokens(one)],
  ].map(([title, text]) => `  ${title?.padEnd(7)} ${plain(text ?? "-")}\n`);
  const attempts = one.attempts.map(drawAttempt);
  if (attempts.length === 0) attempts.push("  It was sent to no node.\n");
  return `${plain(one.id)}  ${one.began_at}\n${facts.join("")}${attempts.join("")}`;
}

function times(one: Explanation): string {
  return [
    ["a place after", one.admitted_ms],
    ["first byte after", one.first_byte_ms],
    ["longest gap", one.pieces > 1 ? one.longest_gap_ms : null],
    ["in all", one.total_ms],
  ]
    .flatMap(([title, ms]) => (typeof ms === "number" ? [`${title} ${timeOf(ms)}`] : []))
    .join(", ");
}

/** "-" where the answer does not say. */
function tokens(one: Explanation): string {
  const { prompt_tokens, cached_tokens, output_tokens } = one;
  const cached = cached_tokens === null ? "" : ` (${cached_tokens} of them cached)`;
  const parts = [
    ...(prompt_tokens === null ? [] : [`${prompt_tokens} of the prompt${cached}`]),
    ...(output_tokens === null ? [] : [`${output_tokens} of the answer`]),
  ];
  return parts.length === 0 ? "-" : parts.join(", ");
}

function drawAttempt(attempt: Attempt, at: number): string {
  const { outcome, status, detail, choice, sent_ms } = attempt;
  const how = [outcome ?? "open", status, detail].filter((part) => part !== null).join(" ");
  const sent = sent_ms === null ? "" : `, sent after ${timeOf(sent_ms)}`;
  const told = `attempt ${at + 1}: ${plain(named(attempt))}: ${plain(how)}${sent}`;
  const head = `\n${wrapped(told, WIDTH, "  ")}`;
  if (choice === null) return head;
  return head + drawChoice(choice);
}

const WHY: Readonly<Record<string, string>> = {
  only: "There was no other.",
  trial: "It was out for its answers, and this request was its trial.",
};

function drawChoice(choice: Choice): string {
  const { why, strategy, candidates, last_resort, best } = choice;
  const by = strategy ?? "The strategy";
  const stayed = best[0]?.score === null && best[0]?.seen["home"] === 1;
  const chose = stayed
    ? `${by}: its session is there, of ${candidates} that came into question.`
    : `${by} chose it among ${candidates}; the lowest score wins.`;
  const compared =
    why === "comparison"
      ? " One before it gives absurdly short answers, and is compared with this one, or a peer is trying what it refused."
      : "";
  const all = last_resort ? " No node was routable: all were tried." : "";
  const said = wrapped(`${WHY[why] ?? plain(chose)}${compared}${all}`, WIDTH, "    ");
  if (why !== "strategy" && why !== "comparison") return said;
  return said + drawBest(best);
}

/** The nodes by number, since their names may be long; below them a line for each figure. */
function drawBest(best: Choice["best"]): string {
  const nodes = best.map((one, at) => `      ${at + 1}  ${plain(named(one))}\n`);
  const figures = [...new Set(best.flatMap(({ seen }) => Object.keys(seen)))];
  const rows = [
    ["score", ...best.map(({ score }) => figure(score))],
    ["sample age", ...best.map(({ sample_age_ms: ms }) => (ms === null ? "-" : `${ms} ms`))],
    ...figures.map((name) => [
      name.replaceAll("_", " "),
      ...best.map(({ seen }) => figure(seen[name] ?? null)),
    ]),
  ];
  // What is nothing for all of them tells nothing, and what is equal decided nothing.
  const telling = rows.filter(([, ...cells]) => cells.some((cell) => cell !== "-"));
  const isEqual = ([name, ...cells]: readonly string[]) =>
    name !== "score" && best.length > 1 && new Set(cells).size === 1;
  const differing = telling.filter((row) => !isEqual(row));
  const equal = telling.filter(isEqual).map(([name, cell]) => `${name} ${cell}`);
  const columns = [
    ["", ...differing.map(([name]) => `      ${name}`)],
    ...best.map((_, at) => [String(at + 1), ...differing.map((row) => row[at + 1] ?? "-")]),
  ];
  const same = equal.length === 0 ? "" : wrapped(`equal: ${equal.join(", ")}`, WIDTH, "      ");
  return nodes.join("") + tableLines(columns, []).join("") + same;
}

function named({ node, node_name }: { readonly node: string; readonly node_name?: string }) {
  return node_name === undefined ? node : `${node_name} (${node})`;
}

function timeOf(ms: number): string {
  return shortTime(Math.round(ms) / 1_000);
}

function figure(value: number | null): string {
  return value === null ? "-" : String(Number(value.toPrecision(4)));
}
