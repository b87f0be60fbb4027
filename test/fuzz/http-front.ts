/**
 * Sends seeded, damaged requests to a real proxy over raw sockets and looks at everything that comes
 * of it: `bun test/fuzz/http-front.ts`, longer with `FUZZ_FACTOR=100`, others with `FUZZ_SEED=7`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { FUZZ_SEED, runs } from "../core/fuzz.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText } from "../support/raw-http.ts";
import { until } from "../support/until.ts";
import { Connection, type Said } from "./connection.ts";
import { HttpInputs } from "./http-inputs.ts";
import { startStrictEngine } from "./strict-engine.ts";

const CORPUS = join(import.meta.dir, "corpus");
/** A request whose body does not come, and how long its answer may take, ms. */
const UNFINISHED = Buffer.from(
  postText("/v1/completions", "{", ["Authorization: Bearer sk-client"]).replace(/{$/, ""),
);
const PATIENCE_MS = 30_000;
/** Connections that send side by side. */
const LANES = 64;

export interface FuzzReport {
  readonly inputs: number;
  /** How often each status came; "silent" where the proxy had nothing to say. */
  readonly answers: ReadonlyMap<string, number>;
  /** Requests that reached the engine. */
  readonly engineRequests: number;
  readonly findings: readonly Finding[];
}

/** What should not be. */
export interface Finding {
  readonly what: string;
  /** The input that brought it about, if that is known. */
  readonly input: Uint8Array | null;
}

/** Inputs that found something once. */
export function corpus(): Uint8Array[] {
  return readdirSync(CORPUS)
    .filter((name) => name.endsWith(".http"))
    .sort()
    .map((name) => readFileSync(join(CORPUS, name)));
}

/** Sends the corpus, then `count` inputs drawn from `seed`; stops early when something is found. */
export async function fuzzHttpFront(seed: number, count: number): Promise<FuzzReport> {
  using engine = startStrictEngine();
  const keys = ["--api-keys", "sk-client", "--admin-key", "sk-admin"];
  const limits = ["--max-body", "20000", "--body-timeout", "0.02", "--no-retry"];
  await using proxy = await startProxy(["--node", engine.url, ...keys, ...limits]);
  const isHealthy = async () => (await proxy.status("sk-admin"))[engine.url]?.models.length === 1;
  await until("the engine is known", isHealthy);

  const found = corpus();
  const drawn = new HttpInputs(seededRandom(seed), found);
  const answers = new Map<string, number>();
  const findings: Finding[] = [];
  let sent = 0;

  const next = () => {
    if (findings.length > 0 || engine.violations.length > 0 || sent >= found.length + count)
      return null;
    sent += 1;
    return found[sent - 1] ?? drawn.next();
  };
  const judge = (said: Said) => {
    for (const { status } of said.answers) {
      const key = String(status);
      answers.set(key, (answers.get(key) ?? 0) + 1);
    }
    if (said.answers.length === 0) answers.set("silent", (answers.get("silent") ?? 0) + 1);
    const isAdministrator = Buffer.from(said.sent).includes("sk-admin");
    const wrong =
      said.malformed ??
      said.answers
        .map((answer) => wrongWith(answer) ?? tellsTooMuch(answer, isAdministrator))
        .find((what) => what !== null);
    if (wrong) findings.push({ what: wrong, input: said.sent });
  };
  const lane = async () => {
    const connection = new Connection(proxy.port);
    for (let input = next(); input !== null; input = next())
      judge(await connection.exchange(input));
    connection.close();
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  // That a body does not come is said by a timer, which a busy machine may let run later than any lane listens.
  const patient = new Connection(proxy.port, PATIENCE_MS);
  judge(await patient.exchange(UNFINISHED));
  patient.close();

  for (const what of [...engine.violations, ...(await whatIsLeft(proxy))]) {
    findings.push({ what: `by input ${sent}: ${what}`, input: null });
  }
  return { inputs: sent, answers, engineRequests: engine.requests(), findings };
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** What Bun answers by itself, without a word. */
const BUNS_OWN = new Set([400, 413, 431, 505]);

/** Why an answer is not one that the proxy should give, or null. */
function wrongWith({ status, headers, body }: Answer): string | null {
  if (status < 400) return null;
  if (status >= 500 && status !== 505) return `answered ${status}: ${body}`;
  if (body === "" && !headers.has("content-type")) {
    return BUNS_OWN.has(status) ? null : `${status} without a word`;
  }
  try {
    const { type, error } = Object(JSON.parse(body));
    const isEnvelope = typeof error.message === "string" && typeof error.type === "string";
    const isAnthropic = type === "error";
    if (isEnvelope && (isAnthropic || typeof error.code === "string")) return null;
  } catch {
    // Told below.
  }
  return `${status} without an envelope: ${body}`;
}

/** Why an answer is not one for who asked, or null. */
function tellsTooMuch({ body }: Answer, isAdministrator: boolean): string | null {
  return !isAdministrator && body.startsWith('{"http://127.0.0.1:')
    ? `the nodes without a key: ${body}`
    : null;
}

/** What the proxy has not got over: requests still counted, errors that nobody foresaw. */
async function whatIsLeft(proxy: ProxyProcess): Promise<string[]> {
  if (proxy.process.exitCode !== null) return [`the proxy ended: ${proxy.log().slice(-2_000)}`];
  const left = await until("nothing is in flight", async () => {
    const nodes = Object.values(await proxy.status("sk-admin"));
    return nodes.every(({ unfinished }) => unfinished === 0);
  }).catch(() => false);
  const unexpected = /^.*"msg":"[^"]*unexpected.*$/m.exec(proxy.log())?.[0];
  return [
    ...(left === false ? ["requests are still counted"] : []),
    ...(unexpected === undefined ? [] : [unexpected]),
  ];
}

if (import.meta.main) {
  const { numRuns } = runs(100_000);
  const startedMs = performance.now();
  const report = await fuzzHttpFront(FUZZ_SEED, numRuns);
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
  console.log(
    `${report.inputs} inputs in ${seconds} s, seed ${FUZZ_SEED}; answers:`,
    report.answers,
  );
  console.log(`${report.engineRequests} requests reached the engine`);
  for (const { what, input } of report.findings) {
    console.log(what);
    if (input !== null)
      await Bun.write(join(CORPUS, `found-${Bun.hash(input).toString(36)}.http`), input);
  }
  process.exit(report.findings.length === 0 ? 0 : 1);
}
