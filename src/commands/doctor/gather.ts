/** Looks at a proxy and its nodes from where it runs. */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect } from "node:tls";
import { Type } from "@sinclair/typebox";
import type { ProxyClient } from "../proxy-client.ts";
import { figure, figures } from "./page-figures.ts";
import type { Certificate, Look, Snapshot, Told } from "./snapshot.ts";

/** Limit of one question, ms. */
const ASK_MS = 3_000;
/** Between two looks: an interval of polling, and so much more, ms; but no longer than a person waits. */
const LONGER_MS = 100;
const LONGEST_MS = 10_000;

const Settings = Type.Object({
  flags: Type.Record(Type.String(), Type.String()),
  state_locked: Type.Union([Type.Boolean(), Type.Null()]),
  state_problem: Type.Optional(Type.Union([Type.String(), Type.Null()])),
});

/** @throws CommandError when the proxy cannot be asked, and its certificate is not why */
export async function gather(client: ProxyClient): Promise<Snapshot> {
  const { url } = client;
  const own = await certificateOf(url);
  let told: Told | null = null;
  try {
    told = await ask(client);
  } catch (error) {
    const isBad = own !== null && (!own.fits || own.notAfterMs < Date.now());
    if (!isBad) throw error;
  }
  const nodes = Object.keys(told?.after.nodes ?? {});
  const certificates = await all(nodes, certificateOf);
  if (own !== null) certificates.set(url, own);
  const aheadMs = await all([url, ...nodes], clockOf);
  return { url, nowMs: Date.now(), certificates, aheadMs, told };
}

async function ask(client: ProxyClient): Promise<Told> {
  const settings = client.as(Settings, await client.get("/debug/config"));
  const before = await look(client);
  const page = await client.text("/metrics");
  const metricsIntervalS = figure(page, "lmproxy_metrics_interval_seconds") ?? 5;
  await Bun.sleep(Math.min(metricsIntervalS * 1_000 + LONGER_MS, LONGEST_MS));
  return {
    flags: settings.flags,
    stateLocked: settings.state_locked,
    stateProblem: settings.state_problem ?? null,
    metricsIntervalS,
    openFiles: figure(page, "process_open_fds"),
    mostFiles: figure(page, "process_max_fds"),
    before,
    after: await look(client),
  };
}

async function look(client: ProxyClient): Promise<Look> {
  // In this order more may have ended than is in flight, never less.
  const nodes = await client.status();
  const atS = performance.now() / 1_000;
  const endedByNode = new Map<string, number>();
  const page = await client.text("/metrics");
  for (const { labels, value } of figures(page, "lmproxy_node_requests_total")) {
    const { node = "" } = labels;
    endedByNode.set(node, (endedByNode.get(node) ?? 0) + value);
  }
  const out = figures(page, "lmproxy_node_out");
  const outFor = new Map(out.map(({ labels: { node = "", reason = "" } }) => [node, reason]));
  return { atS, nodes, endedByNode, outFor };
}

/** Of all at once; those without an answer are left out. */
async function all<T>(
  urls: readonly string[],
  of: (url: string) => Promise<T | null>,
): Promise<Map<string, T>> {
  const answers = await Promise.all(urls.map(async (url) => [url, await of(url)] as const));
  return new Map(answers.flatMap(([url, answer]) => (answer === null ? [] : [[url, answer]])));
}

/** Null for HTTP, and for whoever does not answer from here. No key goes there. */
function certificateOf(url: string): Promise<Certificate | null> {
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== "https:") return Promise.resolve(null);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const { promise, resolve } = Promise.withResolvers<Certificate | null>();
  const isAddress = isIP(host) !== 0;
  const socket = connect({
    host,
    port: Number(port || 443),
    rejectUnauthorized: false,
    ...(isAddress ? {} : { servername: host }),
  });
  socket.setTimeout(ASK_MS, () => resolve(null));
  socket.on("error", () => resolve(null));
  socket.on("secureConnect", () => {
    const { raw } = socket.getPeerCertificate();
    const read = raw === undefined ? null : new X509Certificate(raw);
    const fits = isAddress ? read?.checkIP(host) : read?.checkHost(host);
    resolve(read && { notAfterMs: Date.parse(read.validTo), fits: fits !== undefined });
  });
  return promise.finally(() => socket.destroy());
}

/** By the header `Date` of whatever it answers; null where there is none. No key goes there. */
async function clockOf(url: string): Promise<number | null> {
  try {
    const askedMs = Date.now();
    const answer = await fetch(`${url}/health`, {
      redirect: "manual",
      signal: AbortSignal.timeout(ASK_MS),
      tls: { rejectUnauthorized: false },
    });
    void answer.body?.cancel().catch(() => {});
    const saidMs = Date.parse(answer.headers.get("date") ?? "");
    // It counts whole seconds: on average half of one has passed.
    const middleMs = (askedMs + Date.now()) / 2 - 500;
    return Number.isNaN(saidMs) ? null : saidMs - middleMs;
  } catch {
    return null;
  }
}
