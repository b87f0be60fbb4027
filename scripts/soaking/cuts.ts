/** Streams cut at random places in every way an engine can die: none may look complete. */

import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { startProxy } from "../../test/support/proxy.ts";
import { chunk } from "../../test/support/raw-answers.ts";
import { rawPost } from "../../test/support/raw-client.ts";
import { type RawRequest, type RawStep, startRawServer } from "../../test/support/raw-server.ts";
import { until } from "../../test/support/until.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import { exactly, type Figure, group, shown, Tally } from "./tally.ts";

const CLIENTS = 100;

const SSE_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const EVENTS = Buffer.from(
  Array.from(
    { length: 20 },
    (_, i) => `data: {"choices":[{"index":0,"delta":{"content":"token ${i} 模"}}]}\n\n`,
  ).join(""),
);

/** The way to break is drawn from the request's own number, so that retries and order do not matter. */
function cut({ body }: RawRequest): readonly RawStep[] {
  const number = Number(/"seed":(\d+)/.exec(Buffer.from(body).toString())?.[1]);
  const random = seededRandom(number);
  const sent = EVENTS.subarray(0, 1 + Math.floor(random() * EVENTS.length));
  const pause = { waitMs: 5 + Math.floor(random() * 20) };
  const framed = Buffer.concat([
    Buffer.from(`${sent.length.toString(16)}\r\n`),
    sent,
    Buffer.from("\r\n"),
  ]);
  const start = [{ send: SSE_HEAD }, { send: framed }, pause];
  const length = 100_000 + Math.floor(random() * 100_000);
  const short = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;
  const ways: readonly (readonly RawStep[])[] = [
    [...start, { close: true }],
    [...start, { reset: true }],
    [...start, { send: "zz\r\n" }],
    [...start, { send: chunk("data: half").slice(0, -6) }, pause, { close: true }],
    // One byte more and it would be whole (RFC 9112, 8): the last chunk is what makes it so.
    [...start, { send: "0\r" }, pause, { close: true }],
    [{ send: short }, { send: "x".repeat(Math.floor(length / 2)) }, pause, { close: true }],
    [{ send: short }, { send: "x".repeat(Math.floor(length / 2)) }, pause, { reset: true }],
  ];
  return ways[Math.floor(random() * ways.length)] ?? [];
}

export async function cutStreams(
  requests: number,
  random: () => number,
): Promise<{ tally: Tally; figures: Figure[] }> {
  const engine = startRawServer({
    script: (request) => (request.method === "POST" ? cut(request) : []),
  });
  await using proxy = await startProxy(["--node", engine.url, "--log-level", "error"]);
  await untilHealthy(proxy);
  const tally = new Tally();
  let looksWhole = 0;
  let cuts = 0;
  const one = async () => {
    const seed = Math.floor(random() * 2 ** 31);
    const version = random() < 0.2 ? "1.0" : "1.1";
    const exchange = rawPost(proxy.port, "/generate", { model: "tiny", seed }, { version });
    const { status, complete } = await exchange.ended;
    // A break that overtakes the first bytes is an error, not a cut.
    if (status !== 200) return tally.add("failed");
    cuts += 1;
    if (complete) looksWhole += 1;
    tally.add(complete ? "false_end" : "broken");
  };
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (cuts < requests) await one();
  });
  await Promise.all(clients);
  let left = -1;
  await until("nothing is in flight", async () => {
    left = (await proxy.status())[engine.url]?.unfinished ?? -1;
    return left === 0;
  }).catch(() => {});
  engine.stop();
  return {
    tally,
    figures: [
      exactly("cut streams that look complete", looksWhole, 0, cuts),
      shown("  broken before the first byte (an error)", group(tally.of("failed"))),
      exactly("  counters left", left, 0),
    ],
  };
}
