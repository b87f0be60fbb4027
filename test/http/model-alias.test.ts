/** `--model-alias`: clients ask for a model by another name than its engines know. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { type RecordingNode, startRecordingNode } from "../support/recording-node.ts";
import { untilHealthy } from "../support/until-healthy.ts";

let node: RecordingNode;
let proxy: ProxyProcess;

beforeAll(async () => {
  node = startRecordingNode(["org/llama", "real"]);
  const aliases = ["gpt-4o=org/llama", "real=org/llama", 'odd"=org/llama', "lost=nobody-has-it"];
  proxy = await startProxy(["--node", node.url, "--model-alias", ...aliases]);
  await untilHealthy(proxy, 1);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await node[Symbol.asyncDispose]();
});

async function bodyFor(body: string, path = "/v1/chat/completions"): Promise<unknown> {
  node.asked.length = 0;
  const answer = await fetch(proxy.url + path, { method: "POST", body });
  expect(answer.status).toBe(200);
  const [asked = ""] = node.asked;
  return JSON.parse(asked.slice(`POST ${path} `.length));
}

describe("an engine gets its own name for", () => {
  test("an alias, and all else as it was sent", async () => {
    const sent =
      '{"seed":12345678901234567890, "model" : "gpt-4o","messages":[{"model":"gpt-4o"}]}';
    expect(await bodyFor(sent)).toEqual(JSON.parse(sent.replace("gpt-4o", "org/llama")));
    expect(node.asked[0]).toContain("12345678901234567890");
  });

  test("an alias beside fields that clients may not set", async () => {
    const sent = '{"with_cache":true,"model":"gpt-4o","migration_request":{},"n":1}';
    expect(await bodyFor(sent)).toEqual({ model: "org/llama", n: 1 });
  });

  test("an alias with escapes", async () => {
    expect(await bodyFor('{"model":"odd\\u0022"}')).toEqual({ model: "org/llama" });
  });

  test("an alias in a body of some megabytes", async () => {
    const prompt = "x".repeat(3_000_000);
    const sent = JSON.stringify({ prompt, model: "gpt-4o", end: 1 });
    expect(await bodyFor(sent, "/v1/completions")).toEqual({ prompt, model: "org/llama", end: 1 });
  });

  test("an alias in a form", async () => {
    node.asked.length = 0;
    const form = new FormData();
    form.append("file", new Blob(["\r\nsound\r\n"]), "a.wav");
    form.append("model", "gpt-4o");
    form.append("language", "de");
    const path = "/v1/audio/transcriptions";
    const answer = await fetch(proxy.url + path, { method: "POST", body: form });
    expect(answer.status).toBe(200);
    const [asked = ""] = node.asked;
    const text = asked.slice(`POST ${path} `.length);
    expect(text).not.toContain("gpt-4o");
    const boundary = text.slice(2, text.indexOf("\r\n"));
    const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
    const arrived = await new Response(text, { headers }).formData();
    expect([arrived.get("model"), arrived.get("language")]).toEqual(["org/llama", "de"]);
  });

  test("what some engine serves by that name: no alias", async () => {
    expect(await bodyFor('{"model":"real"}')).toEqual({ model: "real" });
  });
});

test("one whose model nobody serves is not found", async () => {
  const body = '{"model":"lost"}';
  const answer = await fetch(`${proxy.url}/v1/completions`, { method: "POST", body });
  expect(answer.status).toBe(404);
});

test("aliases that can be asked for are listed, with what they stand for", async () => {
  const list = await (await fetch(`${proxy.url}/v1/models`)).text();
  const { data }: { data: { id: string; root: string }[] } = JSON.parse(list);
  const shown = data.map(({ id, root }) => [id, root]);
  expect(shown).toEqual([
    ["org/llama", "org/llama"],
    ["real", "real"],
    ["gpt-4o", "org/llama"],
    ['odd"', "org/llama"],
  ]);
  expect((await fetch(`${proxy.url}/v1/models/gpt-4o`)).status).toBe(200);
  expect((await fetch(`${proxy.url}/v1/models/lost`)).status).toBe(404);
});

test("requests count for the model's own name", async () => {
  await bodyFor('{"model":"gpt-4o"}');
  const page = await (await fetch(`${proxy.url}/metrics`)).text();
  expect(page).toContain('model="org/llama"');
  expect(page).not.toContain("gpt-4o");
});

test("calls to the nodes of a model, or to one, take an alias", async () => {
  for (const [method, path] of [
    ["POST", "/flush_cache?model=gpt-4o"],
    ["GET", "/version?model=gpt-4o"],
  ] as const) {
    node.asked.length = 0;
    expect((await fetch(proxy.url + path, { method })).status).toBe(200);
    expect(node.asked).toEqual([`${method} ${path.split("?")[0]}`]);
  }
});

describe("errors say the name that the client sent", () => {
  async function messageFor(path: string, body: object): Promise<string> {
    const answer = await fetch(proxy.url + path, { method: "POST", body: JSON.stringify(body) });
    return `${answer.status} ${await answer.text()}`;
  }

  test.each(["lost", "lost:adapter"])("that nobody serves: %s", async (model) => {
    const message = await messageFor("/v1/completions", { model, prompt: "x" });
    expect(message).toStartWith("404 ");
    expect(message).toContain(`The model \`${model}\` does not exist; served are: `);
    expect(message).not.toContain("nobody-has-it");
    for (const name of ["org/llama", "real", "gpt-4o"]) expect(message).toContain(name);
  });

  test("of which no engine can take requests", async () => {
    await using engine = startRecordingNode(["served"]);
    await using other = await startProxy(["--node", engine.url, "--model-alias", "gpt-4=served"]);
    await untilHealthy(other, 1);
    await fetch(`${other.url}/nodes/drain`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url: engine.url }),
    });
    const answer = await fetch(`${other.url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({ model: "gpt-4", prompt: "x" }),
    });
    expect([answer.status, await answer.text()]).toEqual([
      503,
      expect.stringContaining("the model `gpt-4` can"),
    ]);
  });
});
