/** Engines that answer what no engine should: nobody but the one client notices, and nothing grows. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { type ProxyProcess, type Statuses, startProxy } from "../support/proxy.ts";
import { gzipBomb, RAW_ANSWERS } from "../support/raw-answers.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { httpAnswer, type RawServer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";

const NO_METRICS = { "/metrics": [{ send: httpAnswer("") }] };
const CANARY = "canary-1f2e3d";
const MIB = 1024 * 1024;

let proxy: ProxyProcess;
let engine: RawServer;
let steps: readonly RawStep[] = [];
const others: RawServer[] = [];

beforeAll(async () => {
  engine = startRawServer({ script: () => steps, probes: NO_METRICS });
  const limits = [
    ...["--first-byte-timeout", "1", "--idle-timeout", "1"],
    ...["--health-timeout", "1"],
  ];
  proxy = await startProxy(["--node", engine.url, "--no-retry", "--log-level", "trace", ...limits]);
  await until("it is healthy", async () => (await statusOf(engine))?.state === "healthy");
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  for (const server of [engine, ...others]) server.stop();
});

async function statusOf(server: RawServer): Promise<Statuses[string] | undefined> {
  return (await proxy.status())[server.url];
}

const ok = httpAnswer('{"a":1}');

function head(...headers: string[]): string {
  return httpAnswer('{"a":1}', headers);
}

function withLength(length: string): string {
  return ok.replace("length: 7", `length: ${length}`);
}

/** What the client gets of each: a status, or an answer that breaks off after its head. */
const ANSWERS: readonly (readonly [string, readonly RawStep[], number | "broken"])[] = [
  ["garbage", RAW_ANSWERS.garbage, 502],
  ["nothing", RAW_ANSWERS.nothing, 502],
  ["a reset", RAW_ANSWERS.reset, 502],
  ["silence", RAW_ANSWERS.silence, 504],
  ["half a head", RAW_ANSWERS.halfHead, 502],
  ["a head alone", RAW_ANSWERS.headOnly, 504],
  ["endless headers", RAW_ANSWERS.endlessHead, 502],
  ["a short body", RAW_ANSWERS.shortBody, 502],
  ["a length that is none", RAW_ANSWERS.badLength, 502],
  ["two lengths", RAW_ANSWERS.twoLengths, 502],
  ["a bad chunk", RAW_ANSWERS.badChunk, 502],
  ["a stream that stops", RAW_ANSWERS.cutBetweenEvents, "broken"],
  ["a stream that is reset", RAW_ANSWERS.resetBetweenEvents, "broken"],
  ["a stream that stops in an event", RAW_ANSWERS.cutInEvent, "broken"],
  ["a stream that stands still in its first event", RAW_ANSWERS.trickle.slice(0, 3), 504],
  ["a stream that stands still", RAW_ANSWERS.cutBetweenEvents.slice(0, 1), "broken"],
  ["a body until the connection ends", RAW_ANSWERS.untilClose, 200],
  ["a gzip bomb", gzipBomb(), 200],
  ["a thousand early hints", [{ send: "HTTP/1.1 103 Early\r\n\r\n".repeat(1_000) + ok }], 200],
  ["200 headers", [{ send: head(...Array.from({ length: 200 }, (_, i) => `x-${i}: a`)) }], 200],
  ["1,000 headers", [{ send: head(...Array.from({ length: 1_000 }, (_, i) => `x-${i}: a`)) }], 502],
  ["a header of 2 MB", [{ send: head(`x-a: ${"y".repeat(2_000_000)}`) }], 502],
  ...[
    "x y: 1",
    ": 1",
    CANARY,
    `${CANARY} : 1`,
    "x: 1\r\n y: 2",
    "x: 1\ry: 2",
    "x: 1\0",
    "x: \x01",
  ].map((line): [string, RawStep[], number] => [
    `the header ${JSON.stringify(line)}`,
    [{ send: head(line) }],
    502,
  ]),
  ...["-7", "+7", "0x7", "7, 8", "1e1", "9".repeat(30), CANARY].map(
    (length): [string, RawStep[], number] => [
      `the length ${length}`,
      [{ send: withLength(length) }, { close: true }],
      502,
    ],
  ),
  ...["000", "099", "101", "199", "600", "999", "20", "2000", CANARY, "-200"].map(
    (status): [string, RawStep[], number] => [
      `the status ${status}`,
      [{ send: httpAnswer("{}", [], status) }, { close: true }],
      502,
    ],
  ),
  ["HTTP/2", [{ send: ok.replace("HTTP/1.1", "HTTP/2") }], 502],
  ["another protocol", [{ send: `SSH-2.0-${CANARY}\r\n` }, { close: true }], 502],
];

describe("an engine that answers a request with", () => {
  test.each(ANSWERS)("%s", async (_, answer, expected) => {
    steps = answer;
    const heard = await sendRaw(proxy.port, postText("/v1/completions", '{"model":"tiny"}')).catch(
      // A broken answer has bytes but no end.
      () => ({ answers: [], closed: true }),
    );
    const statuses = heard.answers.map(({ status }) => status);
    expect(statuses).toEqual(expected === "broken" ? [] : [expected]);
    expect(heard.answers.map(({ body }) => body).join()).not.toContain(CANARY);
    if (expected !== 200 && expected !== "broken") {
      const { error } = Object(JSON.parse(heard.answers[0]?.body ?? ""));
      expect(error.code).toBe(expected === 504 ? "upstream_timeout" : "upstream_error");
    }
    expect((await statusOf(engine))?.unfinished).toBe(0);
    expect((await statusOf(engine))?.last_error ?? "").not.toContain(CANARY);
  });

  test("more than it said: the next client gets its own answer", async () => {
    const evil = httpAnswer('{"evil":1}');
    for (const more of [ok + evil, withLength("3"), `HTTP/1.1 204 No\r\n\r\n${evil}`]) {
      for (let i = 0; i < 10; i += 1) {
        steps = [{ send: more }];
        await sendRaw(proxy.port, postText("/v1/completions", '{"model":"tiny"}'));
        steps = [{ send: httpAnswer(`{"n":${i}}`) }];
        const { answers } = await sendRaw(
          proxy.port,
          postText("/v1/completions", '{"model":"tiny"}'),
        );
        expect(answers.map(({ body }) => body)).toEqual([`{"n":${i}}`]);
      }
    }
  });
});

/** An engine that registers and answers one of the proxy's questions in this way. */
async function liar(path: string, answer: readonly RawStep[]): Promise<RawServer> {
  const server = startRawServer({ script: () => [], probes: { ...NO_METRICS, [path]: answer } });
  others.push(server);
  const { status } = await fetch(`${proxy.url}/nodes/add`, {
    method: "POST",
    body: JSON.stringify({ url: server.url, models: ["registered"] }),
  });
  expect(status).toBe(200);
  return server;
}

async function dismiss(server: RawServer): Promise<void> {
  const body = JSON.stringify({ url: server.url });
  await fetch(`${proxy.url}/nodes/remove`, { method: "POST", body });
  server.stop();
}

function zipped(text: string | Buffer): readonly RawStep[] {
  const body = gzipSync(text);
  const start = `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`;
  return [{ send: Buffer.concat([Buffer.from(start), body]) }];
}

function endless(piece: string, times: number): readonly RawStep[] {
  return [{ send: "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" }, { repeat: piece, times }];
}

const HEALTH: readonly (readonly [string, readonly RawStep[], RegExp])[] = [
  ["a gigabyte", endless("x".repeat(MIB), 1_024), /longer than 65536 bytes/],
  [
    "nothing more after its head",
    [{ send: "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" }],
    /no answer within 1 s/,
  ],
  ["silence", [], /no answer within 1 s/],
  ["endless headers", RAW_ANSWERS.endlessHead, /connection lost/],
  ["garbage", RAW_ANSWERS.garbage, /connection lost/],
  ["a short body", RAW_ANSWERS.shortBody, /connection lost/],
  ["the status 999", [{ send: httpAnswer("{}", [], "999 X") }], /answered 999/],
];

const MODELS: readonly (readonly [string, readonly RawStep[]])[] = [
  ["a gigabyte", endless("x".repeat(MIB), 1_024)],
  ["a million names", [{ send: httpAnswer(JSON.stringify({ data: names(1_000_000) })) }]],
  ["100,000 arrays in each other", [{ send: httpAnswer("[".repeat(100_000)) }]],
  ["a gzip bomb", zipped(Buffer.alloc(200 * MIB))],
  ["no list", [{ send: httpAnswer('{"data":{"id":"x"}}') }]],
  ["names that are none", [{ send: httpAnswer('{"data":[{"id":1},{"id":null}]}') }]],
  ["an error", [{ send: httpAnswer('{"data":[{"id":"x"}]}', [], "500 X") }]],
  ["garbage", RAW_ANSWERS.garbage],
];

function names(count: number): { id: string }[] {
  return Array.from({ length: count }, (_, i) => ({ id: `m${i}` }));
}

const METRICS: readonly (readonly [string, readonly RawStep[], number | null])[] = [
  ["a gigabyte", endless("x".repeat(MIB), 1_024), null],
  ["a million series", endless(`${ranks(1_000)}\n`, 1_000), null],
  ["a gzip bomb", zipped(Buffer.alloc(200 * MIB)), null],
  ["100,000 ranks", [{ send: httpAnswer(ranks(100_000)) }], 0.5],
  ["NaN", [{ send: httpAnswer("lmdeploy:gpu_cache_usage_perc NaN\n") }], null],
  ["less than nothing", [{ send: httpAnswer("lmdeploy:gpu_cache_usage_perc -0.5\n") }], null],
  ["more than all", [{ send: httpAnswer("lmdeploy:gpu_cache_usage_perc 1.5\n") }], null],
  ["infinity", [{ send: httpAnswer("lmdeploy:gpu_cache_usage_perc +Inf\n") }], null],
  [
    "a line of 7 MB",
    [{ send: httpAnswer(`lmdeploy:gpu_cache_usage_perc{a="${"x".repeat(7 * MIB)}"} 0.5`) }],
    null,
  ],
];

function ranks(count: number): string {
  const lines = Array.from(
    { length: count },
    (_, i) => `lmdeploy:gpu_cache_usage_perc{engine="${i}"} 0.5`,
  );
  return lines.join("\n");
}

/** The most memory the proxy has had, MiB; nothing where the system does not tell. */
function peakMiB(): number {
  if (process.platform !== "linux") return 0;
  const status = readFileSync(`/proc/${proxy.process.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

describe("an engine that answers a question of the proxy with", () => {
  test.each(HEALTH)("%s, at /health", async (_, answer, error) => {
    const server = await liar("/health", answer);
    const said = await until("it has an error", async () => (await statusOf(server))?.last_error);
    expect(said).toMatch(error);
    expect((await statusOf(server))?.state).not.toBe("healthy");
    await dismiss(server);
  });

  test.each(MODELS)("%s, at /v1/models, keeps the models it registered with", async (_, answer) => {
    const server = await liar("/v1/models", answer);
    await until("it is healthy", async () => (await statusOf(server))?.state === "healthy");
    // Unknown to all, so that they are asked again before that is said.
    const asked = await sendRaw(proxy.port, postText("/v1/completions", '{"model":"nobody\'s"}'));
    expect(asked.answers.map(({ status }) => status)).toEqual([404]);
    expect((await statusOf(server))?.models).toEqual(["registered"]);
    await dismiss(server);
  });

  test("10,001 names, at /v1/models, is believed in 10,000, and they are not all told to who asks for another", async () => {
    const server = await liar("/v1/models", [
      { send: httpAnswer(JSON.stringify({ data: names(10_001) })) },
    ]);
    await until("they are known", async () => (await statusOf(server))?.models.length === 10_001);
    const asked = await sendRaw(proxy.port, postText("/v1/completions", '{"model":"nobody\'s"}'));
    expect(asked.answers[0]?.status).toBe(404);
    expect(asked.answers[0]?.body.length).toBeLessThan(1_000);
    await dismiss(server);
  });

  test("a model that is nested too deeply to be told, at /v1/models, is told by its name", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const list = `{"data":[{"id":"deep","root":${deep}}]}`;
    const server = await liar("/v1/models", [{ send: httpAnswer(list) }]);
    await until("it is known", async () => (await statusOf(server))?.models.includes("deep"));
    for (const path of ["/v1/models", "/v1/models/deep"]) {
      const answer = await fetch(proxy.url + path);
      expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining("deep")]);
    }
    await dismiss(server);
  });

  test.each(METRICS)("%s, at /metrics", async (_, answer, usage) => {
    const server = await liar("/metrics", answer);
    const node = await until("it was polled", async () => {
      const status = await statusOf(server);
      return (
        (usage === null ? status?.last_error !== null : status?.cache_usage !== null) && status
      );
    });
    expect([node.state, node.cache_usage]).toEqual(["healthy", usage]);
    await dismiss(server);
  });

  test("any of it costs no more memory than the largest of its limits and what is in the way", () => {
    expect(peakMiB()).toBeLessThan(250);
  });
});
