/** Clients that leave, before the first byte and in the stream: the engine must hear of each, soon. */

import { startProxy } from "../../test/support/proxy.ts";
import { chunk } from "../../test/support/raw-answers.ts";
import { rawPost } from "../../test/support/raw-client.ts";
import { until } from "../../test/support/until.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import { agreement, LogFile } from "./agreement.ts";
import { exactly, type Figure, group, shown, Tally } from "./tally.ts";

const CLIENTS = 32;
const SOON_MS = 50;
const SSE_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/** Takes requests, answers some of them for ever, and tells when it is rid of each. */
function startEndlessEngine(onArrival: (id: number) => void, onGone: (id: number) => void) {
  const listener = Bun.listen<{ id: number | null }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { id: null };
      },
      data(socket, bytes) {
        const text = bytes.toString();
        if (text.startsWith("GET /v1/models")) return void socket.write(json(MODELS));
        if (text.startsWith("GET")) return void socket.write(json({ status: "healthy" }));
        const id = /"id":(\d+)/.exec(text)?.[1];
        if (id === undefined) return;
        socket.data.id = Number(id);
        if (text.includes('"stream":true')) socket.write(SSE_HEAD + chunk("data: 1\n\n"));
        onArrival(Number(id));
      },
      close(socket) {
        if (socket.data.id !== null) onGone(socket.data.id);
      },
      error() {},
    },
  });
  return { url: `http://127.0.0.1:${listener.port}`, stop: () => listener.stop(true) };
}

const MODELS = { object: "list", data: [{ id: "tiny", object: "model" }] };

function json(value: unknown): string {
  const body = JSON.stringify(value);
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

export async function leave(
  requests: number,
  random: () => number,
): Promise<{ tally: Tally; figures: Figure[] }> {
  const arrivals = new Map<number, () => void>();
  const departedAtMs = new Map<number, number>();
  const gone = new Map<number, () => void>();
  let arrived = 0;
  let cancelled = 0;
  let soon = 0;
  const engine = startEndlessEngine(
    (id) => {
      arrived += 1;
      arrivals.get(id)?.();
    },
    (id) => {
      const leftAtMs = departedAtMs.get(id);
      if (leftAtMs === undefined) return;
      cancelled += 1;
      if (performance.now() - leftAtMs <= SOON_MS) soon += 1;
      gone.get(id)?.();
    },
  );
  // Another attempt, elsewhere, would be a second arrival.
  using log = new LogFile();
  const flags = ["--node", engine.url, "--no-retry"];
  await using proxy = await startProxy(flags, { command: log.command });
  await untilHealthy(proxy);
  const tally = new Tally();
  let next = 0;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (next < requests) {
      const id = next++;
      const stream = random() < 0.5;
      const isThere = new Promise<void>((resolve) => arrivals.set(id, resolve));
      const isGone = new Promise<void>((resolve) => gone.set(id, resolve));
      const exchange = rawPost(proxy.port, "/generate", { model: "tiny", id, stream });
      await isThere;
      if (stream) await until("the stream has begun", () => exchange.receivedBytes > 0);
      departedAtMs.set(id, performance.now());
      exchange.leave();
      tally.add("left");
      await Promise.race([isGone, new Promise((resume) => setTimeout(resume, 5_000))]);
    }
  });
  await Promise.all(clients);
  let left = -1;
  await until("nothing is in flight", async () => {
    left = (await proxy.status())[engine.url]?.unfinished ?? -1;
    return left === 0;
  }).catch(() => {});
  const agreed = await agreement(proxy.url, log.path);
  engine.stop();
  const share = ((100 * soon) / Math.max(cancelled, 1)).toFixed(2);
  return {
    tally,
    figures: [
      exactly("departures cancelled at the engine", cancelled, tally.sent, tally.sent),
      shown(`  within ${SOON_MS} ms`, `${share} % (${group(soon)})`, "99 %"),
      exactly("  counters left", left, 0),
      exactly("  attempts at the engine, by its own count", arrived, agreed.attempts),
      ...agreed.figures,
    ],
  };
}
