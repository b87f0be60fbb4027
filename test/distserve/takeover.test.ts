/** `--takeover` of a DistServe proxy under load: its engines go on with the new one. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { rawPost } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { chat, MODEL, quiet, startCluster } from "./cluster.ts";

const folder = mkdtempSync(join(tmpdir(), "lmproxy-"));
afterAll(() => rmSync(folder, { recursive: true }));

test.skipIf(process.platform !== "linux")(
  "pairs and sessions go on under a new process: no request is lost, no block is kept",
  async () => {
    const flags = ["--state", join(folder, "nodes.json"), "--keep-alive", "1"];
    const engine = { timeScale: 1 };
    await using cluster = await startCluster({ prefills: 2, decodes: 2, flags, engine });
    const { proxy: old, prefills, decodes } = cluster;
    const bad: string[] = [];
    let answered = 0;
    let isOver = false;
    const clients = times(8, null).map(async (_, at) => {
      const init = at % 2 === 0 ? {} : { headers: CLOSE, keepalive: false };
      while (!isOver) {
        const answer = await chat(old.url, {}, init);
        const text = await answer.text();
        if (answer.status !== 200) bad.push(`${answer.status} ${text}`);
        answered += 1;
      }
    });
    const body = { model: MODEL, messages: "Tell me.", max_tokens: 100, stream: true };
    const stream = rawPost(old.port, "/v1/chat/completions", body);
    await until("it has begun", () => stream.receivedBytes > 0 && answered > 20);
    const own = ["--serving-strategy", "DistServe", "--port", `${old.port}`, "--takeover"];
    await using young = await startProxy([...flags, ...own]);
    const before = answered;
    await until("the new one answers", () => young.log().includes('"msg":"request"'));
    await until("clients go on", () => answered > before + 50);
    expect((await stream.ended).body.toString()).toEndWith("data: [DONE]\n\n");
    stream.leave();
    await until("all pairs are connected", async () =>
      Object.values(await young.status()).every(({ pairs }) => pairs === 2),
    );
    expect(await old.process.exited).toBe(0);
    const since = answered;
    await until("without the old one, too", () => answered > since + 20);
    isOver = true;
    await Promise.all(clients);
    expect(bad).toEqual([]);
    await quiet(young, [...prefills, ...decodes]);
    expect(await young.end()).toBe(0);
  },
  60_000,
);

const CLOSE = { "content-type": "application/json", connection: "close" };
