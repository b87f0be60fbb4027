import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { join } from "node:path";
import { Program, run } from "./program.ts";

const PORTS = ["--port", "0", "--engine-port", "0"];

const README = join(import.meta.dir, "../../README.md");
const DOCUMENT = join(import.meta.dir, "../../docs/openapi.json");

test("streams an answer, loses nothing as an engine is killed, and stops all of it at Ctrl-C", async () => {
  await using demo = new Program(["demo", ...PORTS], { LMPROXY_API_KEYS: "ignored" });
  await demo.until(/Ctrl-C stops all of it/);
  const [, url = ""] = await demo.until(/^docs +(\S+)\/docs$/m);
  const status = await fetch(`${url}/nodes/status`);
  const engines = Object.keys(Object(await status.json()));
  expect(engines).toHaveLength(3);
  // What the demo, the README and the document tell to try works here, all three.
  const [, shown = ""] = await demo.until(/-d '(.+)'/);
  const [, written = ""] = /-d '(\{"model".+)'/.exec(await Bun.file(README).text()) ?? [];
  const document = Object(await Bun.file(DOCUMENT).json());
  const { requestBody } = document.paths["/v1/chat/completions"].post;
  const [example] = Object.values(requestBody.content["application/json"].examples);
  for (const body of [shown, written, JSON.stringify(Object(example).value)]) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body });
    expect([body, answer.status]).toEqual([body, 200]);
    await answer.text();
  }
  demo.kill("SIGINT");
  const { out, err, code } = await demo.finished();
  expect({ err, code }).toEqual({ err: "", code: 0 });
  expect(out).toMatch(/\n> .+\n[A-Z].+\.\n/);
  expect(out).toMatch(/engine 2 is killed, with \d+ of them in its hands\n/);
  expect(out).toContain("Nothing was lost: 12 of 12 answered.\n");
  expect(out.match(/ healthy /g)).toHaveLength(2);
  expect(out).toContain("engine 2 is started again, and takes part.\n");
  for (const process of [url, ...engines]) {
    await expect(fetch(`${process}/health`)).rejects.toThrow();
  }
}, 60_000);

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
