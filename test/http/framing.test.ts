/**
 * Where a request ends must be beyond doubt: what two servers could read in two ways is refused, and
 * no engine ever sees a second request in one. Much of this is Bun's doing and held down here.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, type SendOptions, sendRaw } from "../support/raw-http.ts";
import { httpAnswer, type RawServer, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";
import { ACCEPTED, BODY, CHUNKS, post, REFUSED, SMUGGLED, withChunks } from "./framing-cases.ts";

let engine: RawServer;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = startRawServer({
    script: () => [{ send: httpAnswer('{"ok":1}') }],
    probes: { "/metrics": [{ send: httpAnswer("") }] },
  });
  proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  engine.stop();
});

/** Sends it, then a good request; tells what came back, and what the engine saw beside that one. */
async function exchange(bytes: string, options: SendOptions = {}) {
  const before = engine.requests.length;
  const heard = await sendRaw(proxy.port, bytes, options);
  const fence = await sendRaw(proxy.port, postText("/v1/fence", BODY));
  expect(fence.answers[0]?.status).toBe(200);
  // The fence may overtake one that the proxy has begun, over another connection to the engine.
  await until("nothing is under way", async () => {
    const open: unknown = await (await fetch(`${proxy.url}/debug/requests`)).json();
    return Array.isArray(open) && open.length === 0;
  });
  const all = engine.requests.slice(before).map(({ target, body }) => {
    return `${target} ${Buffer.from(body).toString()}`;
  });
  const seen = all.filter((request) => request !== `/v1/fence ${BODY}`);
  expect(seen).toHaveLength(all.length - 1);
  return { ...heard, seen };
}

describe.each(Object.entries(REFUSED))(
  "refused, and the connection closed, for %s:",
  (_, cases) => {
    test.each(cases)("%s", async (_name, bytes) => {
      const { answers, closed, seen } = await exchange(bytes, { untilClosed: true });
      expect(seen).toEqual([]);
      expect(closed).toBe(true);
      // For some, Bun closes without a word.
      expect([[], [400], [413], [431], [505]]).toContainEqual(answers.map(({ status }) => status));
    });
  },
);

test.each(ACCEPTED)("accepted: %s", async (_, bytes) => {
  const { answers, seen } = await exchange(bytes);
  expect(answers.map(({ status, body }) => [status, body])).toEqual([[200, '{"ok":1}']]);
  expect(seen).toEqual([`/v1/completions ${BODY}`]);
});

describe("requests sent before the answer to the one before has come", () => {
  const first = postText("/v1/first", BODY);
  const second = postText("/v1/second", BODY);

  test("reach an engine whole and in order, or not at all", async () => {
    // Bun 1.4.5 closes the connection instead when the first takes longer than a moment.
    const { seen } = await exchange(first + second);
    expect([`/v1/first ${BODY}`, `/v1/second ${BODY}`].slice(0, seen.length)).toEqual(seen);
  });

  test("are answered in order where the answers are at hand", async () => {
    const get = "GET /health HTTP/1.1\r\nHost: proxy\r\n\r\n";
    const { answers } = await exchange(get.repeat(20) + get.replace("/health", "/nope"), {
      count: 21,
    });
    expect(answers.map(({ status }) => status)).toEqual([...Array(20).fill(200), 404]);
  });

  test.each([
    [
      "in the body of a GET",
      `GET /health HTTP/1.1\r\nHost: proxy\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    ],
    [
      "in the chunks of a GET",
      `GET /health HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    ],
    ["in a body that is refused", postText("/nodes/add", SMUGGLED)],
    ["in a body that nobody reads", postText("/nope", SMUGGLED)],
    ["behind a body that is too short", withChunks("zz\r\n")],
  ])("are none when they stand %s", async (_, bytes) => {
    const { answers, seen } = await exchange(bytes);
    expect(seen).toEqual([]);
    expect(answers).toHaveLength(1);
  });
});

test("trailers of a client go nowhere", async () => {
  const chunks = CHUNKS.replace(/\r\n$/, "X-Trailer: 1\r\nContent-Length: 5\r\n\r\n");
  const { seen } = await exchange(post(["Host: proxy", "Transfer-Encoding: chunked"], chunks));
  // Bun 1.4.5 hands on the body when its last chunk has come, and refuses trailers then.
  expect([`/v1/completions ${BODY}`].slice(0, seen.length)).toEqual(seen);
  expect(engine.requests.map(({ head }) => head).join()).not.toContain("X-Trailer");
});

test("a client that wants to be told to go on is told", async () => {
  const head = post(["Host: proxy", "Expect: 100-continue", "Content-Length: 16"], BODY);
  const { informational, answers } = await exchange(head);
  expect(informational).toEqual([100]);
  expect(answers.map(({ status }) => status)).toEqual([200]);
});
