/** `lmproxy nodes`: looks after the nodes of a running proxy. */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { Command } from "commander";
import { type Flag, flagGroup } from "../config/flag.ts";
import * as kinds from "../config/kinds.ts";
import { oneOf } from "../config/schema.ts";
import { UsageError } from "../config/usage-error.ts";
import { NODE_NAME, NODE_NAME_EXPECTS, splitNamed } from "../core/address/node-name.ts";
import { normaliseNodeUrl } from "../core/address/node-url.ts";
import { ROLES } from "../core/engine/roles.ts";
import { nearestName } from "../core/nearest-name.ts";
import { type Run, readArguments, type Surroundings } from "./command.ts";
import { CommandError } from "./command-error.ts";
import { FOR_LIST, LIST_FIELDS, listNodes } from "./node-list.ts";
import { FOR_SHOW, showNode } from "./node-show.ts";
import type { NodeStatus, Nodes } from "./node-table.ts";
import { ProxyClient } from "./proxy-client.ts";
import { PROXY_FIELDS, PROXY_FLAGS } from "./proxy-flags.ts";

/** Pause between two looks at a draining node, ms. */
const DRAIN_POLL_MS = 200;

const Settings = Type.Object({
  ...PROXY_FIELDS,
  ...LIST_FIELDS,
  models: Type.Array(Type.String({ minLength: 1 }), { default: [] }),
  role: Type.Union([oneOf(ROLES), Type.Null()], { default: null }),
  speed: Type.Union([Type.Number({ exclusiveMinimum: 0 }), Type.Null()], { default: null }),
  name: Type.Union([Type.String({ pattern: NODE_NAME.source }), Type.Null()], { default: null }),
  all: Type.Boolean({ default: false }),
  wait: Type.Boolean({ default: false }),
  timeoutMs: Type.Union([Type.Number({ minimum: 1, maximum: kinds.MAX_DELAY_MS }), Type.Null()], {
    default: null,
  }),
});
type Settings = Static<typeof Settings>;
const { properties: fields } = Settings;

const FOR_ADD = flagGroup("Node", [
  {
    key: "models",
    names: ["model"],
    argument: "name",
    kind: kinds.text("a model's name"),
    value: fields.models,
    isList: true,
    help: "Model that it serves. Default: what the node itself names.",
  },
  {
    key: "role",
    names: ["role"],
    argument: "name",
    kind: kinds.choice(ROLES),
    value: fields.role,
    help: `What it does: ${ROLES.join(", ")}. Default: Hybrid.`,
  },
  {
    key: "speed",
    names: ["speed"],
    argument: "number",
    kind: kinds.decimal("a number above 0"),
    value: fields.speed,
    help: "Relative capability, in the same unit for all nodes.",
  },
  {
    key: "name",
    names: ["name"],
    argument: "name",
    kind: kinds.text(NODE_NAME_EXPECTS),
    value: fields.name,
    help: "What to call it, here and in the log, beside its URL.",
  },
]);

const FOR_TERMINATE = flagGroup("Nodes", [
  { key: "all", names: ["all"], value: fields.all, help: "Every node, instead of one." },
]);

const FOR_DRAIN = flagGroup("Waiting", [
  {
    key: "wait",
    names: ["wait"],
    value: fields.wait,
    help: "Wait until the node has nothing in flight.",
  },
  {
    key: "timeoutMs",
    names: ["timeout"],
    argument: "seconds",
    kind: kinds.secondsOrNoLimit,
    value: fields.timeoutMs,
    help: "How long to wait. Default: no limit.",
  },
]);

interface Action {
  readonly summary: string;
  readonly flags: readonly Flag[];
  /** The operand as commander spells it; null for none. */
  readonly operand: string | null;
  /** Returns what to print at its end. */
  readonly act: (
    client: ProxyClient,
    node: string,
    settings: Settings,
    surroundings: Surroundings,
  ) => Promise<string>;
}

const ACTIONS: Readonly<Record<string, Action>> = {
  list: {
    summary: "Show the nodes and how they are.",
    flags: FOR_LIST,
    operand: null,
    act: listNodes,
  },
  show: {
    summary: "Show all there is to say of a node, and its last failures.",
    flags: FOR_SHOW,
    operand: "<node>",
    act: showNode,
  },
  add: {
    summary: "Add a node, or change what is known of it.",
    flags: FOR_ADD,
    operand: "<url>",
    act: add,
  },
  remove: {
    summary: "Take a node out; what runs on it may finish.",
    flags: [],
    operand: "<node>",
    act: (client, url) => client.change("POST", "/nodes/remove", { url }),
  },
  terminate: {
    summary: "Take a node out and end its engine.",
    flags: FOR_TERMINATE,
    operand: "[node]",
    act: terminate,
  },
  drain: {
    summary: "Send a node nothing new; what runs on it may finish.",
    flags: FOR_DRAIN,
    operand: "<node>",
    act: drain,
  },
  undrain: {
    summary: "Send a drained node requests again.",
    flags: [],
    operand: "<node>",
    act: undrain,
  },
};

async function add(client: ProxyClient, given: string, settings: Settings): Promise<string> {
  const { models, role, speed } = settings;
  const { name: before, url } = splitNamed(given);
  const name = settings.name ?? before;
  if (before !== null && before !== name) {
    throw new UsageError(`the node cannot be called both ${before} and ${name}`);
  }
  const status = {
    ...(models.length === 0 ? {} : { models }),
    ...(role === null ? {} : { role }),
    ...(speed === null ? {} : { speed }),
    ...(name === null ? {} : { name }),
  };
  return await client.change("POST", "/nodes/add", { url, status });
}

async function terminate(client: ProxyClient, url: string, { all }: Settings): Promise<string> {
  if (all === (url !== "")) {
    throw new UsageError(
      "lmproxy nodes terminate needs either the URL or name of a node, or --all",
    );
  }
  return await (all
    ? client.change("GET", "/nodes/terminate_all")
    : client.change("POST", "/nodes/terminate", { url }));
}

async function drain(client: ProxyClient, url: string, settings: Settings): Promise<string> {
  const startedMs = performance.now();
  const answer = await client.post("/nodes/drain", { url });
  // A wrong "nothing is in flight" would have somebody end an engine that is at work.
  if (!Value.Check(Draining, answer)) throw await client.stranger();
  let { unfinished } = answer;
  while (settings.wait && unfinished > 0) {
    if (settings.timeoutMs !== null && performance.now() - startedMs > settings.timeoutMs) {
      throw new CommandError(`${url} still has ${unfinished} in flight; it goes on draining`);
    }
    await Bun.sleep(DRAIN_POLL_MS);
    // Looked at, not drained again: by now a new engine may have registered under this URL.
    const node = findNode(await client.status(), url);
    if (node?.state !== "draining") throw new CommandError(drainsNoMore(url, node));
    unfinished = node.unfinished;
  }
  const state =
    unfinished === 0
      ? `${url} is drained: nothing is in flight`
      : `${url} is draining: ${unfinished} in flight`;
  return `${state}\nlmproxy nodes undrain ${url} brings it back\n`;
}

/** Somebody undrained or removed it, or an engine registered: that nothing is in flight cannot be said. */
function drainsNoMore(url: string, node: NodeStatus | undefined): string {
  const now =
    node === undefined
      ? "was removed, and what ran on it may go on"
      : `is ${node.state ?? "in use"} again, with ${node.unfinished} in flight`;
  return `${url} no longer drains: it ${now}`;
}

async function undrain(client: ProxyClient, node: string): Promise<string> {
  const answer = await client.post("/nodes/undrain", { url: node });
  if (!Value.Check(Undrained, answer)) throw await client.stranger();
  const { state } = answer;
  return state === "starting"
    ? `${node} gets requests again as soon as its health probe passes\n`
    : `${node} is ${state}\n`;
}

const Draining = Type.Object({ unfinished: Type.Number() });
const Undrained = Type.Object({ state: Type.String() });

/** The node that has this name, or this URL in any spelling. */
function findNode(nodes: Nodes, given: string): NodeStatus | undefined {
  if (NODE_NAME.test(given)) return Object.values(nodes).find(({ name }) => name === given);
  return nodes[normaliseNodeUrl(given)] ?? nodes[given];
}

export const run: Run = async (argv, surroundings) => {
  const [name = "--help", ...rest] = argv;
  if (name === "--help" || name === "-h") {
    await surroundings.print(overview());
    return 0;
  }
  const action = ACTIONS[name];
  if (action === undefined) {
    const nearest = nearestName(name, Object.keys(ACTIONS));
    const advice = nearest === undefined ? "see lmproxy nodes --help" : `did you mean ${nearest}?`;
    throw new UsageError(`lmproxy nodes has no such command; ${advice}`);
  }
  const command = new Command(`lmproxy nodes ${name}`).description(action.summary);
  const namesUrl = action.operand === "<url>";
  const described = namesUrl ? "the node's URL, or NAME=URL" : "the node's URL, or its name";
  if (action.operand !== null) command.argument(action.operand, described);
  const flags = [...action.flags, ...PROXY_FLAGS];
  const line = await readArguments(command, flags, Settings, rest, surroundings, "LMPROXY_NODES_");
  if (line === null) return 0;
  const [url = ""] = line.operands;
  const isKnown = url === "" || (!namesUrl && NODE_NAME.test(url));
  const { parse, expects } = namesUrl ? kinds.namedNodeUrl : kinds.nodeUrl;
  if (!isKnown && parse(url) === undefined) {
    const text = namesUrl
      ? `the node's URL must be ${expects}`
      : `a node is its name or ${expects}`;
    throw new UsageError(text);
  }
  const client = new ProxyClient(line.values.proxyUrl, line.values.adminKey);
  await surroundings.print(await action.act(client, url, line.values, surroundings));
  return 0;
};

function overview(): string {
  const lines = Object.entries(ACTIONS).map(([name, { summary, operand }]) => {
    return `  ${`${name} ${operand ?? ""}`.padEnd(16)}  ${summary}\n`;
  });
  return `Usage: lmproxy nodes COMMAND [flags]\n\nCommands:\n${lines.join("")}`;
}
