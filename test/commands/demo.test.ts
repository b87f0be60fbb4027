import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { Program, run } from "./program.ts";

const PORTS = ["--port", "0", "--engine-port", "0"];

test("streams an answer, shows the nodes and the URLs, and stops all of it at Ctrl-C", async () => {
  await using demo = new Program(["demo", ...PORTS], { LMPROXY_API_KEYS: "ignored" });
  await demo.until(/Ctrl-C stops all of it/);
  const [, url = ""] = await demo.until(/^docs +(\S+)\/docs$/m);
  const status = await fetch(`${url}/nodes/status`);
  const engines = Object.keys(Object(await status.json()));
  expect(engines).toHaveLength(3);
  demo.kill("SIGINT");
  const { out, err, code } = await demo.finished();
  expect({ err, code }).toEqual({ err: "", code: 0 });
  expect(out.match(/ healthy /g)).toHaveLength(3);
  expect(out).toMatch(/\n> .+\n.+\n/);
  for (const process of [url, ...engines]) {
    await expect(fetch(`${process}/health`)).rejects.toThrow();
  }
});

test("a port in use is named, by what would have listened there", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  try {
    const address = taken.address();
    const port = String(typeof address === "object" ? address?.port : "");
    expect(await run(["demo", "--engine-port", "0", "--port", port])).toMatchObject({
      err: `lmproxy: port ${port} (proxy) is in use; choose another with --port\n`,
      code: 1,
    });
    expect(await run(["demo", "--port", "0", "--engine-port", port])).toMatchObject({
      err: `lmproxy: port ${port} (engine 1) is in use; choose another with --engine-port\n`,
      code: 1,
    });
  } finally {
    taken.close();
  }
});
