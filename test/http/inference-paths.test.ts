/** What goes to engines and what does not, however it is spelled. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isForwarded } from "../../src/http/inference-paths.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { httpAnswer, type RawServer, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

let engine: RawServer;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = startRawServer({
    script: () => [{ send: httpAnswer('{"ok":1}') }],
    probes: { "/metrics": [{ send: httpAnswer("") }] },
  });
  // Administrators may call all engines by some of these names.
  proxy = await startProxy(["--node", engine.url, "--admin-key", "sk-admin"]);
  await untilHealthy(proxy, 1, "sk-admin");
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  engine.stop();
});

const CHANGES = [
  ...[
    "load_lora_adapter",
    "unload_lora_adapter",
    "sleep",
    "wake_up",
    "wakeup",
    "start_profile",
    "stop_profile",
  ],
  ...[
    "update_weights_from_disk",
    "update_weights",
    "init_weights_update_group",
    "release_memory_occupation",
  ],
  ...[
    "resume_memory_occupation",
    "pause_generation",
    "collective_rpc",
    "reset_prefix_cache",
    "flush_cache",
  ],
  ...["abort_request", "terminate"],
];

/** Spellings that some server on the way may take for `/v1/NAME`. */
function spellings(name: string): string[] {
  const encoded = [...name].map((c) => `%${c.charCodeAt(0).toString(16)}`).join("");
  return [
    ...["", "/", "?x=1", "%20", "%00", "%0a", ";a=b", ".", "/x", "%2fx", "#x", "/."].map(
      (end) => `/v1/${name}${end}`,
    ),
    `/v1/${encoded}`,
    `/v1/${encoded.toUpperCase()}`,
    `/v1/${encodeURIComponent(encoded)}`,
    `/v1/${name.replace("_", "%5F")}`,
    `/v1/${name.replace(/.$/, (last) => `%${last.charCodeAt(0).toString(16)}`)}`,
    `/v1/${name.toUpperCase()}`,
    `/v1//${name}`,
    `/v1/./${name}`,
    `/v1/x/../${name}`,
    `/v1/x/%2e%2e/${name}`,
    `/v1/x%2f..%2f${name}`,
    `/v1/x%5c..%5c${name}`,
    `/v1/%2e%2e%2fv1%2f${name}`,
    `/v1/..%2f${name}`,
    `/v1/%2e%2e/v1/${name}`,
    `/v1\\${name}`,
    `/v1/%2f${name}`,
    `//v1/${name}`,
    `/V1/${name}`,
    `/%76%31/${name}`,
    `http://proxy/v1/${name}`,
    `/${name}`,
  ];
}

test.each(CHANGES)("%s changes an engine and is not forwarded", async (name) => {
  const before = engine.requests.length;
  for (const target of spellings(name)) {
    const { answers } = await sendRaw(proxy.port, postText(target, '{"model":"tiny"}'));
    expect([target, answers.map(({ status }) => status < 500 && status >= 400)]).toEqual([
      target,
      [true],
    ]);
  }
  expect(engine.requests.slice(before).map(({ target }) => target)).toEqual([]);
});

describe("is forwarded as it came:", () => {
  test.each([
    ...[
      "/v1/audio/transcriptions",
      "/v1/fine-tunes/ft-1/cancel",
      "/v1/sleepy",
      "/v1/x/sleep",
      "/v1/summarise",
    ],
    ...[
      "/v1/a%20b",
      "/v1/org%2Fname/x",
      "/v1/x;y=z",
      "/v1/x?a=/v1/sleep&b=%2e%2e",
      "/v1/x?a=?b",
      "/v1/%E6%A8%A1",
    ],
    ...["/v1/chat/completions?x=1", "/v1/chat/completions/", "/generate", "/v1/a+b", "/v1/a@b:c,d"],
  ])("%s", async (target) => {
    const { answers } = await sendRaw(proxy.port, postText(target, '{"model":"tiny"}'));
    expect(answers.map(({ status }) => status)).toEqual([200]);
    expect(engine.requests.at(-1)?.target).toBe(target);
  });
});

test("what cannot be decoded is not forwarded", () => {
  for (const path of ["/v1/%", "/v1/%zz", "/v1/%ff", "/v1/a%2", "/v1/%c3%28"])
    expect(isForwarded(path)).toBe(false);
});

test("a path that was encoded over and over is not forwarded, and not decoded for ever", () => {
  const encoded = (times: number) => `/v1/x%${"25".repeat(times)}20y`;
  expect([0, 1, 7].map((times) => isForwarded(encoded(times)))).toEqual([true, true, true]);
  expect([8, 7_000].map((times) => isForwarded(encoded(times)))).toEqual([false, false]);
});

test("the key is asked for before the path is judged", async () => {
  await using closed = await startProxy(["--api-keys", "sk-client"]);
  for (const target of ["/v1/sleep", `/v1/%${"25".repeat(7_000)}20`, "/v1/models/x"]) {
    const { answers } = await sendRaw(closed.port, postText(target, "{}"));
    expect(answers.map(({ status }) => status)).toEqual([401]);
  }
});
