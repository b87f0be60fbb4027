/** A certificate is renewed while clients come and go: by one process, by workers, and before a takeover. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { run } from "../commands/program.ts";
import { temporaryFolder } from "../state/entries.ts";
import { times } from "../support/ask.ts";
import { kill } from "../support/kill.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { EXPIRED_ELSEWHERE, TEST_CERTIFICATE, TEST_KEY } from "../support/tls/files.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const folder = temporaryFolder();
let engine: RunningEngine;

beforeAll(async () => {
  engine = await startEngine({ models: ["tiny"], timeScale: 1 });
});
afterAll(async () => {
  await engine.stop(true);
  folder[Symbol.dispose]();
});

/** A key and a certificate in files of one test, and the flags that name them. */
function lay(test: string) {
  const key = join(folder.path, `${test}-key.pem`);
  const cert = join(folder.path, `${test}-cert.pem`);
  copyFileSync(TEST_KEY, key);
  copyFileSync(TEST_CERTIFICATE, cert);
  return { key, cert, flags: ["--tls-key", key, "--tls-cert", cert] };
}

/** Whom so many new connections meet. */
async function names(port: number, count = 12): Promise<string[]> {
  const met = times(count, null).map(() => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const options = { port, host: "127.0.0.1", rejectUnauthorized: false };
    const socket = connect(options, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.on("error", reject);
    return promise;
  });
  return [...new Set(await Promise.all(met))];
}

interface Call {
  readonly agent?: Agent | false;
  /** What is posted; left out, it is a GET. */
  readonly body?: object;
  readonly began?: () => void;
}

/** The text of the answer. @throws Error for one that is cut, refused or no 200 */
function call(port: number, path: string, { agent = false, body, began }: Call = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const method = body === undefined ? "GET" : "POST";
  const headers = { "content-type": "application/json" };
  const options = { port, path, method, agent, headers, host: "127.0.0.1" };
  const sent = request({ ...options, rejectUnauthorized: false }, (answer) => {
    let text = "";
    answer.setEncoding("utf8");
    answer.on("data", (piece: string) => {
      text += piece;
      began?.();
    });
    answer.on("error", reject);
    answer.on("end", () =>
      answer.statusCode === 200 ? resolve(text) : reject(new Error(`${answer.statusCode}`)),
    );
  });
  sent.on("error", reject);
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}

/** Calls one after the other while `goOn`; how many there were. @throws Error of one that failed */
async function callOn(port: number, agent: Agent | false, goOn: () => boolean): Promise<number> {
  let count = 0;
  for (; goOn(); count += 1) await call(port, "/v1/models", { agent });
  return count;
}

const reload = ({ url }: ProxyProcess) =>
  run(["reload", "--proxy-url", url], { NODE_TLS_REJECT_UNAUTHORIZED: "0" });

async function expiresAtS({ port }: ProxyProcess): Promise<number> {
  const page = await call(port, "/metrics");
  return Number(/^lmproxy_tls_not_after_timestamp_seconds (\S+)$/m.exec(page)?.[1]);
}

const STREAM = { model: "tiny", prompt: "x", ignore_eos: true, stream: true, max_tokens: 60 };

describe.concurrent.each([
  ["one process", []],
  ["two workers", ["--workers", "2"]],
])("%s", (name, flags) => {
  test("serves a new certificate to new connections, refuses none and cuts no stream", async () => {
    const { key, cert, flags: tls } = lay(name);
    await using proxy = await startProxy([...tls, ...flags, "--node", engine.url]);
    const { port } = proxy;
    await until("there is a model", async () =>
      (await call(port, "/v1/models")).includes('"tiny"'),
    );
    const old = await names(port);
    const oldExpiry = await expiresAtS(proxy);
    const streams = times(6, null).map(() => {
      const { promise: begun, resolve: began } = Promise.withResolvers<void>();
      return { begun, whole: call(port, "/v1/completions", { body: STREAM, began }) };
    });
    await Promise.all(streams.map(({ begun }) => begun));
    let isOver = false;
    const agents = times(3, null).map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
    const calls = [...agents, ...times(3, false as const)].map((agent) =>
      callOn(port, agent, () => !isOver),
    );
    // Should one fail before it is waited for.
    for (const counted of calls) counted.catch(() => {});

    copyFileSync(EXPIRED_ELSEWHERE, cert);
    expect(await names(port)).toEqual(old);
    expect(await reload(proxy)).toMatchObject({ out: "reloaded; changed: --tls-cert\n", code: 0 });
    const renewed = await names(port, 40);
    expect(renewed.length).toBe(1);
    expect(renewed).not.toEqual(old);
    expect(await expiresAtS(proxy)).toBeLessThan(oldExpiry);

    // Another one at once, and one of another key.
    copyFileSync(TEST_CERTIFICATE, cert);
    expect((await reload(proxy)).code).toBe(0);
    expect(await names(port, 40)).toEqual(old);
    writeFileSync(key, "no key");
    const refused = await reload(proxy);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(
      "Nothing has changed: the files of --tls-key and --tls-cert make no key",
    );
    expect(await names(port, 40)).toEqual(old);
    expect(await call(port, "/metrics")).toContain("lmproxy_config_last_reload_success 0");

    for (const { whole } of streams) expect(await whole).toEndWith("data: [DONE]\n\n");
    isOver = true;
    for (const count of await Promise.all(calls)) expect(count).toBeGreaterThan(0);
    for (const agent of agents) agent.destroy();

    // A worker that comes later has what is in force, not what lies there.
    const pid = /worker serves","pid":(\d+)/.exec(proxy.log())?.[1];
    if (pid === undefined) return;
    kill(pid, "SIGKILL");
    await until("another one serves", () => proxy.log().split("worker serves").length > 3);
    expect(await names(port, 40)).toEqual(old);
  });
});

test.concurrent("a new process takes over right after that, with what lies there", async () => {
  const { cert, flags: tls } = lay("takeover");
  const flags = [...tls, "--node", engine.url, "--state", join(folder.path, "state.json")];
  await using proxy = await startProxy(flags);
  const { port } = proxy;
  const old = await names(port);
  copyFileSync(EXPIRED_ELSEWHERE, cert);
  expect((await reload(proxy)).code).toBe(0);
  const renewed = await names(port);
  copyFileSync(TEST_CERTIFICATE, cert);
  let isOver = false;
  const counted = callOn(port, false, () => !isOver);
  counted.catch(() => {});
  expect(renewed).not.toEqual(old);
  await using next = await startProxy([...flags, "--port", `${port}`, "--takeover"]);
  expect(await names(port, 40)).toEqual(old);
  // Its predecessor listens still, and is waited for.
  copyFileSync(EXPIRED_ELSEWHERE, cert);
  next.process.kill("SIGHUP");
  await until("it is renewed", () => next.log().includes('"changed":"--tls-cert"'));
  expect(await names(port, 40)).toEqual(renewed);
  isOver = true;
  expect(await counted).toBeGreaterThan(0);
});
