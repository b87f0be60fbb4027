/** Media types are the same in whatever case they are written, and say nothing that a body does not. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { httpAnswer, type RawServer, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

let engine: RawServer;
let proxy: ProxyProcess;
/** The engine's. */
let answer = httpAnswer("{}");

beforeAll(async () => {
  engine = startRawServer({ script: () => [{ send: answer }] });
  proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  engine.stop();
});

async function statusOf(path: string, body: string, type: string | null) {
  const line = type === null ? "" : `Content-Type: ${type}\r\n`;
  const text = postText(path, body).replace("Content-Type: application/json\r\n", line);
  const { answers } = await sendRaw(proxy.port, text);
  return answers[0]?.status;
}

test.each([
  null,
  "application/json",
  "Application/JSON; Charset=UTF-8",
  "text/plain",
  "application/x-www-form-urlencoded",
  "MULTIPART/form-data; boundary=x",
])("administration reads JSON, whatever its type is said to be: %s", async (type) => {
  const body = '{"url":"http://127.0.0.1:7/unknown"}';
  expect(await statusOf("/nodes/remove", body, type)).toBe(200);
  expect(await statusOf("/nodes/remove", "no JSON", type)).toBe(400);
});

test.each(["multipart/form-data; boundary=x", "Multipart/Form-Data; Boundary=x"])(
  "a form's model is found: %s",
  async (type) => {
    const form = (model: string) =>
      `--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n--x--\r\n`;
    expect(await statusOf("/v1/audio/transcriptions", form("tiny"), type)).toBe(200);
    expect(await statusOf("/v1/audio/transcriptions", form("other"), type)).toBe(404);
  },
);

test.each(["200 OK", "404 Not Found", "500 Oops"])(
  "an answer without a type has none for the client either: %s",
  async (status) => {
    const typed = httpAnswer('{"ok":1}', [], status);
    for (const line of ["", "content-type: \r\n"]) {
      answer = typed.replace("content-type: application/json\r\n", line);
      const { answers } = await sendRaw(
        proxy.port,
        postText("/v1/completions", '{"model":"tiny"}'),
      );
      const [got] = answers;
      expect([got?.status, got?.body]).toEqual([Number.parseInt(status, 10), '{"ok":1}']);
      expect(got?.headers.get("content-type") ?? "").toBe("");
      expect(got?.headers.get("content-length")).toBe("8");
    }
  },
);
