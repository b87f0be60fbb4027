/** Good answers without a byte, which some calls have. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { times } from "../support/ask.ts";
import { startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

test("to a call that may give nothing a 204 says so: nobody is asked the same again, and nobody is out", async () => {
  const engines = times(3, null).map(() => startOddEngine());
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  await using proxy = await startProxy([...nodes, "--strategy", "round_robin"]);
  await untilHealthy(proxy, 3);
  for (const engine of engines) engine.answer = () => new Response(null, { status: 204 });
  const asked = { method: "POST", body: JSON.stringify({ model: "tiny" }) };
  for (let sent = 0; sent < 30; sent += 1) {
    expect((await fetch(`${proxy.url}/v1/unheard-of`, asked)).status).toBe(204);
  }
  expect(engines.map(({ requests }) => requests)).toEqual([10, 10, 10]);
  expect(proxy.log()).not.toContain("node is out");
  await Promise.all(engines.map((engine) => engine.stop()));
});
