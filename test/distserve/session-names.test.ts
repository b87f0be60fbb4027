/** Prefill engines that name the sessions whose blocks they keep, and those that do not. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { PrefillIdStyle } from "../../src/sim/server/release.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { chat, count, MODEL, messageOf, only, startCluster, startRole } from "./cluster.ts";
import { type Answers, type RecordingEngine, startRecordingEngine } from "./recording-engine.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";
const INITIALIZED =
  '{"status": 1, "engine_endpoint_info": {"zmq_address": "tcp://a:1"}, "kvtransfer_endpoint_info": []}';

function prefilled(names: string): string {
  return `{${names}, "choices": [], "cache_block_ids": [7, 8], "remote_token_ids": [5]}`;
}

function startEngine(answers: Answers): RecordingEngine {
  return startRecordingEngine('{"tp_size": 1}', {
    "/distserve/p2p_initialize": INITIALIZED,
    "/distserve/free_cache": '{"status": "SUCCESS"}',
    ...answers,
  });
}

async function startServing(
  prefills: readonly RecordingEngine[],
  decode: RecordingEngine,
  flags: readonly string[] = [],
) {
  const roles = [...prefills.flatMap(({ url }) => ["--prefill", url]), "--decode", decode.url];
  const proxy = await startProxy(["--serving-strategy", "DistServe", ...roles, ...flags]);
  await allPaired(proxy);
  return proxy;
}

async function allPaired(proxy: ProxyProcess): Promise<void> {
  await until("all are connected", async () =>
    Object.values(await proxy.status()).every(({ pairs, state }) => state === "healthy" && pairs),
  );
}

function complete(proxy: ProxyProcess): Promise<Response> {
  return fetch(proxy.url + COMPLETIONS, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: MODEL, prompt: "x", session_id: 3 }),
  });
}

function migrations(decode: RecordingEngine, path: string): string[] {
  return decode.bodies(path).map((body) => /"remote_session_id":(\d+)/.exec(body)?.[1] ?? body);
}

describe("cache_session_id", () => {
  test("is the session, whatever the id says, and is freed under that number", async () => {
    await using prefill = startEngine({
      [CHAT]: prefilled('"id": "chatcmpl-3", "cache_session_id": 41'),
      [COMPLETIONS]: prefilled('"id": "12", "cache_session_id": 18446744073709551615'),
    });
    await using decode = startEngine({
      [CHAT]: '{"object": "done", "choices": [{}]}',
      [COMPLETIONS]: [400],
    });
    await using proxy = await startServing([prefill], decode, ["--no-retry"]);
    expect((await chat(proxy.url)).status).toBe(200);
    expect(migrations(decode, CHAT)).toEqual(["41"]);
    expect((await complete(proxy)).status).toBe(400);
    expect(migrations(decode, COMPLETIONS)).toEqual(["18446744073709551615"]);
    const freed = await until("it is freed", () => prefill.bodies("/distserve/free_cache")[0]);
    expect(freed).toContain('"remote_session_id":18446744073709551615');
  });

  test("that is null leaves the id; one that is no number is not guessed at", async () => {
    await using prefill = startEngine({
      [CHAT]: [
        prefilled('"id": "5", "cache_session_id": null'),
        prefilled('"id": "6", "cache_session_id": "six"'),
      ],
    });
    await using decode = startEngine({ [CHAT]: '{"object": "done", "choices": [{}]}' });
    await using proxy = await startServing([prefill], decode);
    expect((await chat(proxy.url)).status).toBe(200);
    expect((await chat(proxy.url)).status).toBe(502);
    expect(migrations(decode, CHAT)).toEqual(["5"]);
  });
});

describe("a prefill engine that names no session", () => {
  test.each([
    ["chat", "chatcmpl", CHAT, "LMDeploy 0.15.0 to 0.18.0"],
    ["completions", "chatcmpl", COMPLETIONS, "LMDeploy 0.12.0 to 0.18.0"],
  ] as const)(
    "on %s is asked once; then requests are refused before it, with the releases",
    async (_, prefillIds, path, releases) => {
      await using cluster = await startCluster({ engine: { prefillIds } });
      const ask = () => (path === CHAT ? cluster.chat() : complete(cluster.proxy));
      for (let i = 0; i < 5; i += 1) {
        const answer = await ask();
        expect([answer.status, await messageOf(answer)]).toEqual([
          502,
          expect.stringContaining(releases),
        ]);
      }
      expect(count(cluster, "prefills", path)).toBe(1);
      expect(only(cluster.prefills).state().preservedSessions).toBe(1);
      // A guessed number could free somebody else's cache.
      expect(count(cluster, "prefills", "/distserve/free_cache")).toBe(0);
      expect(count(cluster, "decodes", path)).toBe(0);
    },
  );

  test("is not followed by the next one, of which nothing is known", async () => {
    await using cluster = await startCluster({ prefills: 3, engine: { prefillIds: "chatcmpl" } });
    for (let sent = 1; sent <= 5; sent += 1) {
      expect((await cluster.chat()).status).toBe(502);
      expect(count(cluster, "prefills", CHAT)).toBe(Math.min(sent, 3));
    }
  });

  test("costs nothing where others do: they get the requests, its own included", async () => {
    await using mute = startEngine({ [CHAT]: prefilled('"id": "chatcmpl-1"') });
    const numbers = Array.from({ length: 20 }, (_, i) => prefilled(`"id": "${i}"`));
    await using named = startEngine({ [CHAT]: numbers });
    await using decode = startEngine({ [CHAT]: '{"object": "done", "choices": [{}]}' });
    await using proxy = await startServing([mute, named], decode);
    const statuses: number[] = [];
    for (let i = 0; i < 10; i += 1) statuses.push((await chat(proxy.url)).status);
    // The very first may have met it while nothing was known of the other.
    expect(statuses.slice(1)).toEqual(Array.from({ length: 9 }, () => 200));
    expect(mute.bodies(CHAT).length).toBeLessThanOrEqual(1);
  });

  test("has another chance when it is another process", async () => {
    const flags = ["--health-interval", "0.1"];
    await using cluster = await startCluster({ flags, engine: { prefillIds: "chatcmpl" } });
    const prefill = only(cluster.prefills);
    for (let i = 0; i < 2; i += 1) expect((await cluster.chat()).status).toBe(502);
    await prefill.stop(true);
    const prefillIds: PrefillIdStyle = "session";
    const again = await startRole("Prefill", cluster.proxy, { port: prefill.port, prefillIds });
    cluster.prefills[0] = again;
    await allPaired(cluster.proxy);
    expect((await cluster.chat()).status).toBe(200);
    await cluster.quiet();
  });
});
