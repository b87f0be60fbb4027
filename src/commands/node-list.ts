/** `lmproxy nodes list`: once, or again and again. */
import { Type } from "@sinclair/typebox";
import { flagGroup } from "../config/flag.ts";
import * as kinds from "../config/kinds.ts";
import { oneOf } from "../config/schema.ts";
import type { Surroundings } from "./command.ts";
import { CommandError } from "./command-error.ts";
import { nodeTable, SORT_NAMES, sorted } from "./node-table.ts";
import type { ProxyClient } from "./proxy-client.ts";
import { JSON_FIELD, jsonFlag } from "./proxy-flags.ts";
import { untilSignal } from "./signals.ts";
import { plain } from "./table.ts";

/** Between two looks, ms. */
const WATCH_MS = 2_000;

/** To the upper left corner, and nothing below. */
const CLEAR = "\x1b[H\x1b[2J";

export const LIST_FIELDS = {
  sort: Type.Union([oneOf(SORT_NAMES), Type.Null()], { default: null }),
  json: JSON_FIELD,
  watch: Type.Boolean({ default: false }),
};

interface ListSettings {
  readonly sort: string | null;
  readonly json: boolean;
  readonly watch: boolean;
}

export const FOR_LIST = flagGroup("Output", [
  {
    key: "sort",
    names: ["sort"],
    argument: "column",
    kind: kinds.choice(SORT_NAMES),
    value: LIST_FIELDS.sort,
    help: `Those first that stand out by ${SORT_NAMES.join(", ")}. Default: as they joined.`,
  },
  jsonFlag("Print JSON, as GET /nodes/status answers; with --watch a line each time."),
  {
    key: "watch",
    names: ["watch"],
    value: LIST_FIELDS.watch,
    help: `Look again every ${WATCH_MS / 1_000} s until interrupted.`,
  },
]);

export async function listNodes(
  client: ProxyClient,
  _: string,
  settings: ListSettings,
  { print }: Surroundings,
): Promise<string> {
  if (!settings.watch) return await drawn(client, settings);
  let ended = false;
  const end = untilSignal().then(() => {
    ended = true;
  });
  while (!ended) {
    const text = await drawn(client, settings).catch(failure);
    if (!(await print(settings.json ? text : CLEAR + text))) break;
    await Promise.race([Bun.sleep(WATCH_MS), end]);
  }
  return "";
}

/** Whoever watches a proxy sees it end and come back. */
function failure(error: unknown): string {
  if (error instanceof CommandError) return `${error.message}\n`;
  throw error;
}

async function drawn(client: ProxyClient, { sort, json, watch }: ListSettings): Promise<string> {
  const known = await client.status();
  const nodes = sort === null ? known : sorted(known, sort);
  if (json) return `${JSON.stringify(nodes, null, watch ? 0 : 2)}\n`;
  if (Object.keys(nodes).length === 0) return noNodes(client.url);
  const why = await client.whyNotReady();
  // They stand above it.
  const says = why === null ? "" : `not ready: ${plain(why.replace("; see /nodes/status", ""))}\n`;
  return nodeTable(nodes, sort) + says;
}

function noNodes(proxyUrl: string): string {
  return (
    `no nodes yet\nStart engines with --proxy-url ${proxyUrl}, or add those that run:\n` +
    "lmproxy nodes add http://HOST:PORT\n"
  );
}
