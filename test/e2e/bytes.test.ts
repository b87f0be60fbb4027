/** What an engine sends is what the client gets, byte for byte, and nothing else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { chunk } from "../support/raw-answers.ts";
import { httpAnswer, type RawServer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

const EVENTS = new TextEncoder().encode(
  [
    ": a comment, and the answer's first bytes\n\n",
    'event: response.created\ndata: {"type":"response.created"}\n\n',
    'event: response.output_text.delta\r\ndata: {"delta":"grüß dich, 世界 🚀"}\r\n\r\n',
    "id: 7\rretry: 10\rdata: carriage returns alone\r\r",
    'data: {"a":1}\ndata: {"b":2}\n\n\n',
    "data:no space\n\ndata: [DONE]\n\n",
  ].join(""),
);

const SSE_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

let engine: RawServer;
let proxy: ProxyProcess;
let steps: readonly RawStep[] = [];

beforeAll(async () => {
  engine = startRawServer({ script: () => steps });
  proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  engine.stop();
});

function ask(init: BunFetchRequestInit = {}): Promise<Response> {
  return fetch(`${proxy.url}/v1/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ model: "tiny", stream: true }),
    ...init,
  });
}

/** `body` in chunks cut at the places `cuts`. */
function chunked(body: Uint8Array, cuts: readonly number[]): RawStep[] {
  const places = [0, ...new Set(cuts), body.length].sort((a, b) => a - b);
  const chunks = places.slice(1).flatMap((end, i): RawStep[] => {
    const piece = body.subarray(places[i], end);
    if (piece.length === 0) return [];
    return [{ send: `${piece.length.toString(16)}\r\n` }, { send: piece }, { send: "\r\n" }];
  });
  return [{ send: SSE_HEAD }, ...chunks, { send: "0\r\n\r\n" }];
}

test("an event stream cut at every single place arrives unchanged", async () => {
  for (let cut = 1; cut < EVENTS.length; cut += 1) {
    steps = chunked(EVENTS, [cut]);
    expect(Buffer.from(await (await ask()).bytes())).toEqual(Buffer.from(EVENTS));
  }
});

test("an event stream cut at many random places arrives unchanged", async () => {
  const random = seededRandom(7);
  for (let round = 0; round < 100; round += 1) {
    const cuts = Array.from({ length: 20 }, () => Math.floor(random() * EVENTS.length));
    steps = chunked(EVENTS, cuts);
    expect(Buffer.from(await (await ask()).bytes())).toEqual(Buffer.from(EVENTS));
  }
});

test.each(["chunked", "chunked,", "Chunked"])(
  "a length that is said beside a coding of %s holds nothing back",
  async (coding) => {
    const isSeen = Promise.withResolvers<void>();
    const both = SSE_HEAD.replace("chunked", `${coding}\r\ncontent-length: 3`);
    steps = [
      { send: both + chunk("data: 1\n\n") },
      { hold: () => isSeen.promise },
      { send: `${chunk("data: 2\n\n")}0\r\n\r\n` },
    ];
    let text = "";
    for await (const piece of (await ask()).body ?? []) {
      text += Buffer.from(piece).toString();
      isSeen.resolve();
    }
    expect(text).toBe("data: 1\n\ndata: 2\n\n");
  },
);

test("status, headers and body of an engine's own error pass unchanged", async () => {
  const body = '{"object":"error", "message":"flat, LMDeploy\'s own shape", "code":400}';
  steps = [{ send: httpAnswer(body, ["x-engine: kept", "retry-after: 3"], "418 I'm a teapot") }];
  const answer = await ask();
  expect(answer.status).toBe(418);
  expect(answer.headers.get("x-engine")).toBe("kept");
  expect(answer.headers.get("retry-after")).toBe("3");
  expect(answer.headers.get("content-type")).toBe("application/json");
  expect(await answer.text()).toBe(body);
});

test("hop-by-hop headers stay on their connection, in both directions", async () => {
  const hop = ["connection: keep-alive, x-private", "x-private: 1", "keep-alive: timeout=5"];
  steps = [{ send: httpAnswer("{}", hop) }];
  const answer = await ask({
    headers: { connection: "x-mine", "x-mine": "1", te: "trailers", "x-forwarded-for": "6.6.6.6" },
  });
  expect(answer.headers.get("x-private")).toBeNull();
  expect(answer.headers.get("keep-alive")).toBeNull();
  const sent = engine.requests.at(-1)?.head.toLowerCase() ?? "";
  expect(sent).not.toContain("x-mine");
  expect(sent).not.toContain("te: trailers");
  expect(sent).not.toContain("6.6.6.6");
  expect(sent).toContain("x-forwarded-for: 127.0.0.1");
});

test("a body reaches the engine as the bytes that came, large numbers and all", async () => {
  steps = [{ send: httpAnswer("{}") }];
  const body = '{ "model":"tiny","seed":12345678901234567890,  "x":1e400,"s":"\\ud800","e":"é" }';
  await (await ask({ body })).bytes();
  expect(Buffer.from(engine.requests.at(-1)?.body ?? []).toString()).toBe(body);
});

test("fields of DistServe's control plane are taken out, the length is right", async () => {
  steps = [{ send: httpAnswer("{}") }];
  const body =
    '{"with_cache":true,"model":"tiny","migration_request":{"a":[1]},"preserve_cache":1}';
  await (await ask({ body })).bytes();
  const sent = engine.requests.at(-1);
  expect(Buffer.from(sent?.body ?? []).toString()).toBe('{"model":"tiny"}');
  expect(sent?.head.toLowerCase()).toContain("content-length: 16");
});

test("a compressed answer passes compressed, and only to who asked for it", async () => {
  const packed = Bun.gzipSync(new TextEncoder().encode('{"packed":true}'));
  const head = `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${packed.length}\r\n\r\n`;
  steps = [{ send: head }, { send: packed }];
  const answer = await ask({ headers: { "accept-encoding": "gzip" }, decompress: false });
  expect(Buffer.from(await answer.bytes())).toEqual(Buffer.from(packed));
  expect(engine.requests.at(-1)?.head.toLowerCase()).toContain("accept-encoding: gzip");
});

test.each(["gzip, chunked", "deflate,chunked", "gzip"])(
  "an answer that is coded for its connection as %s, which nobody takes off, is none",
  async (coding) => {
    const packed = Bun.gzipSync(new TextEncoder().encode('{"packed":true}'));
    const isChunked = coding.endsWith("chunked");
    const [before, after] = isChunked
      ? [`${packed.length.toString(16)}\r\n`, "\r\n0\r\n\r\n"]
      : ["", ""];
    const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: ${coding}\r\n\r\n`;
    steps = [{ send: head + before }, { send: packed }, { send: after }, { close: true }];
    const answer = await ask();
    expect(answer.status).toBe(502);
    expect(await answer.text()).toContain(coding);
  },
);
