/**
 * Bun's server closes a connection on which a second request comes before the first is answered. What is
 * ours to see to: that nothing is left of either, and that one after the other they are served.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { startGateEngine } from "../support/gate-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

function post(name: string): string {
  const body = JSON.stringify({ model: "tiny", prompt: "x", name });
  return `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

test.each([
  ["a second request", post("second")],
  ["an empty line", "\r\n"],
])("%s behind a running one ends both, and the engine is free", async (_, behind) => {
  const engine = startGateEngine();
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  const socket = connect(proxy.port, "127.0.0.1");
  let isClosed = false;
  socket.on("error", () => {});
  socket.on("close", () => {
    isClosed = true;
  });
  socket.write(post("first"));
  await until("the first runs", () => engine.waiting === 1);
  socket.write(behind);
  socket.resume();
  await until("the connection is closed", () => isClosed);
  await until("the engine is free", () => engine.waiting === 0);
  await until("nothing is in flight", async () =>
    Object.values(await proxy.status()).every(({ unfinished }) => unfinished === 0),
  );
  expect(engine.arrived).toEqual(["first"]);
  await engine.stop();
});

test("one after the other on one connection they are served", async () => {
  const engine = startGateEngine();
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  const socket = connect(proxy.port, "127.0.0.1");
  let text = "";
  socket.on("data", (piece) => {
    text += piece;
  });
  for (const [i, name] of ["first", "second"].entries()) {
    socket.write(post(name));
    await until("it runs", () => engine.waiting === 1);
    engine.release(1);
    await until("it is answered", () => (text.match(/HTTP\/1\.1 200/g) ?? []).length === i + 1);
  }
  expect(engine.arrived).toEqual(["first", "second"]);
  socket.destroy();
  await engine.stop();
});
