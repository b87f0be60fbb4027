/** What an upgrade has put in the place of a supervisor, when that is killed, which stays as its parent. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { engineStarter } from "../sim/server/running.ts";
import { kill } from "../support/kill.ts";
import { startProxy } from "../support/proxy.ts";
import { rawPost } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const start = engineStarter();

test("it ends with the process that is the proxy to who started it, when its streams have", async () => {
  const engine = await start({ timeScale: 1 });
  const folder = mkdtempSync(join(tmpdir(), "lmproxy-parent-"));
  const flags = ["--workers", "1", "--node", engine.url, "--state", join(folder, "nodes.json")];
  await using proxy = await startProxy(flags);
  await untilHealthy(proxy);
  const replaced = await fetch(`${proxy.url}/upgrade?supervisor=true`, { method: "POST" });
  expect(replaced.status).toBe(200);
  const [, child] = /another process has taken over.*"pid":(\d+)/.exec(proxy.log()) ?? [];
  try {
    const body = { model: "tiny", prompt: "x", ignore_eos: true, stream: true, max_tokens: 60 };
    const stream = rawPost(proxy.port, "/v1/completions", body);
    await until("it has begun", () => stream.receivedBytes > 0);
    await proxy.end("SIGKILL");
    expect((await stream.ended).body.toString()).toEndWith("data: [DONE]\n\n");
    stream.leave();
    await until("nobody listens any more", () =>
      fetch(`${proxy.url}/health`).then(
        () => false,
        () => true,
      ),
    );
  } finally {
    try {
      kill(child, "SIGKILL");
    } catch {
      // It has ended.
    }
    rmSync(folder, { recursive: true });
  }
});
