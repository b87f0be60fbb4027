/** Anthropic's real client: messages, models and errors as it expects them, under both base URLs. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const MODEL = "org/model";
const KEY = "sk-client";

let engine: RunningEngine;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = await startEngine({ models: [MODEL], timeScale: 0 });
  proxy = await startProxy(["--node", engine.url, "--api-keys", KEY]);
  await until("the node serves", async () =>
    Object.values(await proxy.status(KEY)).every(({ models }) => models.length > 0),
  );
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop(true);
});

function clientAt(base: string, apiKey = KEY): Anthropic {
  return new Anthropic({ baseURL: proxy.url + base, apiKey, maxRetries: 0 });
}

const ASKED = {
  model: MODEL,
  max_tokens: 8,
  messages: [{ role: "user" as const, content: "Why is the sky blue?" }],
};

describe.each(["", "/anthropic"])("with the base URL %p", (base) => {
  test("a message, whole and streamed, and the count of its tokens", async () => {
    const client = clientAt(base);
    const whole = await client.messages.create(ASKED);
    expect(whole.content[0]?.type).toBe("text");
    expect(whole._request_id).toMatch(/^req-/);
    const streamed = await client.messages.stream(ASKED).finalMessage();
    expect(streamed.stop_reason).toBe(whole.stop_reason);
    const { model, messages } = ASKED;
    const count = await client.messages.countTokens({ model, messages });
    expect(count.input_tokens).toBeGreaterThan(0);
  });

  test("models are listed and retrieved, also by a name with a slash", async () => {
    const client = clientAt(base);
    const listed = [];
    for await (const { id, type } of client.models.list()) listed.push([id, type]);
    expect(listed).toEqual([[MODEL, "model"]]);
    const one = await client.models.retrieve(MODEL);
    expect([one.id, one.type, one.display_name]).toEqual([MODEL, "model", MODEL]);
    expect(one._request_id).toMatch(/^req-/);
  });

  test("errors carry the request's id, and are of the class for their status", async () => {
    const thrown = async (asked: Promise<unknown>) => {
      const error = await asked.catch((reason: unknown) => reason);
      if (!(error instanceof Anthropic.APIError)) throw new Error("no API error");
      const body = Object(error.error);
      expect(error.requestID).toMatch(/^req-/);
      expect([body.type, body.request_id]).toEqual(["error", error.requestID]);
      return error;
    };
    const unknown = await thrown(clientAt(base).messages.create({ ...ASKED, model: "none" }));
    expect(unknown).toBeInstanceOf(Anthropic.NotFoundError);
    expect(await thrown(clientAt(base).models.retrieve("none"))).toBeInstanceOf(
      Anthropic.NotFoundError,
    );
    const refused = await thrown(clientAt(base, "sk-wrong").messages.create(ASKED));
    expect(refused).toBeInstanceOf(Anthropic.AuthenticationError);
  });
});
