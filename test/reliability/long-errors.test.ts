/** Failures that engines report at the end of a stream, in events as long as they like. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask } from "../support/ask.ts";
import { startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const WORD = 'data: {"choices":[{"index":0,"text":"a word"}]}\n\n';
const trace = "Traceback: ".repeat(4_000);

test.each([
  ["an error", `data: {"error":{"message":"${trace}","type":"server_error","code":500}}\n\n`],
  ["a named one", `event: error\ndata: {"type":"error","message":"${trace}"}\n\n`],
  ["one before the mark of the end", `data: {"error":{"message":"${trace}"}}\n\ndata: [DONE]\n\n`],
  ["a response", `data: {"type":"response.failed","response":{"instructions":"${trace}"}}\n\n`],
])("%s of 44 kB is a failure in the log, and comes as it was sent", async (_, event) => {
  const headers = { "content-type": "text/event-stream" };
  const stream = async function* () {
    yield WORD;
    await Bun.sleep(20);
    yield event.slice(0, 30_000);
    await Bun.sleep(20);
    yield event.slice(30_000);
  };
  const engine = startOddEngine({ answer: () => new Response(stream(), { headers }) });
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  const answer = await ask(proxy, { stream: true });
  expect(await answer.text()).toBe(WORD + event);
  await until("it is logged", () => proxy.log().includes('"msg":"request"'));
  const line = proxy
    .log()
    .split("\n")
    .find((one) => one.includes('"msg":"request"'));
  expect(JSON.parse(line ?? "")).toMatchObject({ outcome: "broken", error: "upstream_error" });
  await engine.stop();
});
