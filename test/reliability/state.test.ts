/** The registry on disk: kill -9, a second proxy, a disk that takes nothing. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { parseState } from "../../src/state/format.ts";
import { engineStarter } from "../sim/server/running.ts";
import { askInTurn, times } from "../support/ask.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const start = engineStarter();
const folder = mkdtempSync(join(tmpdir(), "lmproxy-"));
afterAll(() => rmSync(folder, { recursive: true }));

const BUN = process.execPath;
/** A disk that takes no byte more, for the process alone; the signal becomes an error of the write. */
const ON_FULL_DISK = ["sh", "-c", `trap '' XFSZ; ulimit -f 0; exec "$@"`, "sh", BUN, "src/main.ts"];

function add(proxy: ProxyProcess, url: string): Promise<Response> {
  return fetch(`${proxy.url}/nodes/add`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ url, models: ["tiny"] }),
  });
}

test("fault 14: kill -9 at any moment leaves a state file that the next start reads", async () => {
  const path = join(folder, "killed.json");
  const random = seededRandom(5);
  {
    await using proxy = await startProxy(["--state", path]);
    await add(proxy, "http://127.0.0.1:999");
    expect(await proxy.end()).toBe(0);
  }
  let known = 1;
  for (let round = 0; round < 10; round += 1) {
    await using proxy = await startProxy(["--state", path]);
    expect(Object.keys(await proxy.status()).length).toBeGreaterThanOrEqual(known);
    expect(proxy.log()).not.toContain("damaged");
    known = Object.keys(await proxy.status()).length;
    // It dies while it writes: nothing waits for the last of these.
    const changes = 5 + Math.floor(random() * 20);
    for (let i = 0; i < changes; i += 1) {
      const node = `http://127.0.0.1:${1_000 + round * 100 + i}`;
      const added = add(proxy, node);
      if (i < changes - 1) await added;
      else added.catch(() => {});
      // A slow disk gets its first write done: without it the rounds would teach nothing.
      if (i === 0) await until("one is written", () => readFileSync(path, "utf8").includes(node));
    }
    await proxy.end("SIGKILL");
    const parsed = parseState(readFileSync(path));
    expect(parsed.kind).toBe("parsed");
  }
  expect(known).toBeGreaterThanOrEqual(10);
});

test("a second proxy on the same file is refused, until the first one has died", async () => {
  const state = ["--state", join(folder, "shared.json")];
  const engine = await start();
  await using first = await startProxy([...state, "--node", engine.url]);
  await untilHealthy(first);
  const second = Bun.spawn([BUN, "src/main.ts", "serve", "--port", "0", ...state], {
    stdout: "pipe",
    stderr: "pipe",
  });
  expect(await second.exited).toBe(2);
  const said = await new Response(second.stderr).text();
  expect(said).toMatch(
    /^lmproxy: .*in use by another lmproxy; give this one its own --state, or take its place with --takeover\n$/,
  );
  expect(await askInTurn(first, 5)).toEqual(times(5, 200));
  await first.end("SIGKILL");
  await using third = await startProxy([...state, "--node", engine.url]);
  await untilHealthy(third);
});

for (const [what, command] of [
  ["a read-only state file", [BUN, "src/main.ts"]],
  ["a full disk", ON_FULL_DISK],
] as const) {
  test(`${what} is a warning, not an end`, async () => {
    const path = join(folder, `${what.replaceAll(" ", "-")}.json`);
    if (what.startsWith("a read")) {
      await Bun.write(path, '{"version":1,"nodes":[]}');
      chmodSync(path, 0o444);
    }
    const engine = await start();
    await using proxy = await startProxy(["--state", path], { command });
    expect((await add(proxy, engine.url)).status).toBe(200);
    await untilHealthy(proxy);
    await until("it has warned", () => proxy.log().includes("nodes cannot be saved"));
    expect(await askInTurn(proxy, 5)).toEqual(times(5, 200));
    expect(await proxy.end()).toBe(0);
  });
}
