/** What commands do when somebody stands at the proxy's address whose answer does not end. */
import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { run } from "./program.ts";

setDefaultTimeout(60_000);

const MIB = 1024 * 1024;
/** What it takes an unlimited reader a moment to have in memory, and a test to fail soon. */
const ENOUGH = 1024 * MIB;

let sent = 0;
const block = new Uint8Array(4 * MIB).fill(0x20);
const endless = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  fetch: () =>
    new Response(
      new ReadableStream({
        pull(to) {
          sent += block.length;
          if (sent > ENOUGH) to.close();
          else to.enqueue(block);
        },
      }),
    ),
});
afterEach(() => {
  sent = 0;
});
afterAll(() => endless.stop(true));

const AT = ["--proxy-url", endless.url.origin];

test.each(["nodes list", "requests", "explain id", "nodes add http://a", "reload", "doctor"])(
  "%s",
  async (argv) => {
    const { code, err } = await run([...argv.split(" "), ...AT]);
    expect(err).toBe(
      `lmproxy: ${endless.url.origin} answers more than the 256 MiB that are read; check --proxy-url\n`,
    );
    expect(code).toBe(1);
    expect(sent).toBeLessThan(ENOUGH);
  },
);

test("health, which is answered in a line", async () => {
  const { code, err } = await run(["health", ...AT]);
  expect([code, err]).toEqual([
    1,
    `lmproxy: ${endless.url.origin}/health answers, but not as lmproxy does; check --proxy-url\n`,
  ]);
  expect(sent).toBeLessThan(256 * MIB);
});

test("an answer that is packed although nobody asked for it is not unpacked", async () => {
  using packing = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ headers }) => {
      asked.push(headers.get("accept-encoding"));
      const body = Bun.gzipSync(JSON.stringify({ nodes: {} }));
      return new Response(body, { headers: { "content-encoding": "gzip" } });
    },
  });
  const asked: (string | null)[] = [];
  const { code, err } = await run(["nodes", "list", "--proxy-url", packing.url.origin]);
  expect(code).toBe(1);
  expect(err).toContain("answers, but not as lmproxy does");
  expect(new Set(asked)).toEqual(new Set(["identity"]));
});
