/** How much is logged, and how, changed while it runs. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { run } from "./program.ts";

setDefaultTimeout(60_000);

test("the level and the format of a running proxy's log are shown and changed", async () => {
  await using proxy = await startProxy(["--log-level", "error"]);
  const cli = (...argv: string[]) => run(["log-level", ...argv, "--proxy-url", proxy.url]);
  const ask = async (model: string) => {
    const body = JSON.stringify({ model, prompt: "x" });
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${proxy.url}/v1/completions`, { method: "POST", headers, body });
    expect(answer.status).toBe(503);
  };
  expect((await cli()).out).toBe("the log is at level error, its lines are json\n");
  await ask("unseen");

  const changed = await cli("WARN");
  expect(changed).toMatchObject({ code: 0, err: "" });
  expect(changed.out).toBe("the log is at level warning, its lines are json\n");
  expect((await cli("info", "--format", "logfmt")).out).toContain(
    "level info, its lines are logfmt",
  );
  await ask("seen");
  await until("the line of the second", () => proxy.log().includes("model=seen"));
  expect(proxy.log()).toContain('msg="log changed" log_level=info log_format=logfmt\n');
  expect(proxy.log()).not.toContain("unseen");
  // Going up, it is said before it goes quiet.
  await cli("fatal", "--format", "json");
  await until("that is said", () => proxy.log().includes("log_level=fatal"));

  expect((await cli("loud")).err).toContain("the level must be one of trace, debug");
  const nothing = await fetch(`${proxy.url}/debug/log`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  expect([nothing.status, await nothing.text()]).toEqual([
    400,
    expect.stringContaining("a level ("),
  ]);
});
