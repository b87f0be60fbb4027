/** Calls that 64 workers carry out one after the other: whoever makes them waits for the last one. */
import { afterAll, afterEach, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { run as reload } from "../../src/commands/reload.ts";
import { run as upgrade } from "../../src/commands/upgrade.ts";
import { MOST_WORKERS } from "../../src/config/kinds.ts";

setDefaultTimeout(60_000);

/** Time goes by so many times as fast. */
const FASTER = 100;
const EACH_TAKES_MS = 1_100;

const proxy = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch({ url }) {
    await Bun.sleep((MOST_WORKERS * EACH_TAKES_MS) / FASTER);
    return Response.json(
      url.endsWith("/reload")
        ? { changed: ["--tls-cert"], needs_new_process: [] }
        : { message: "upgraded" },
    );
  },
});
const limit = AbortSignal.timeout.bind(AbortSignal);
const timeout = spyOn(AbortSignal, "timeout").mockImplementation((ms) => limit(ms / FASTER));
afterEach(() => timeout.mockClear());
afterAll(async () => {
  timeout.mockRestore();
  await proxy.stop(true);
});

test.each([
  ["reload", reload, "reloaded; changed: --tls-cert\n"],
  ["upgrade", upgrade, "upgraded\n"],
] as const)("%s", async (_name, run, says) => {
  let printed = "";
  const code = await run(["--proxy-url", proxy.url.origin], {
    env: {},
    print: (text) => {
      printed += text;
      return Promise.resolve(true);
    },
    warn: () => {},
    readFile: () => "",
  });
  expect([code, printed]).toEqual([0, says]);
  expect(timeout).toHaveBeenCalled();
});
