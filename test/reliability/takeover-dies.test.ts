/** `--takeover` from a proxy that dies before it is done: somebody has to listen all the same. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROTOCOL, type Standing, socketPath } from "../../src/proxy/standing.ts";
import { drawState } from "../../src/state/format.ts";
import { freePort } from "../support/free-port.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);
const folder = mkdtempSync(join(tmpdir(), "lmproxy-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Whoever listens at a Unix socket, and each who is connected with it. */
function socketsAt(path: string): number {
  const lines = readFileSync("/proc/net/unix", "utf8").split("\n");
  return lines.filter((line) => line.endsWith(` ${path}`)).length;
}

test.skipIf(process.platform !== "linux").each([
  ["one process", []],
  ["two workers", ["--workers", "2"]],
])("%s that dies while it is asked: the new one starts as usual", async (name, flags) => {
  const path = join(folder, `${name}.json`);
  const own = ["--state", path, ...flags];
  await using old = await startProxy(own);
  const { port } = old;
  const added = await fetch(`${old.url}/nodes/add`, {
    method: "POST",
    body: JSON.stringify({ url: "http://127.0.0.1:9", status: { models: ["m"] } }),
  });
  expect(added.status).toBe(200);
  await until("that is written down", () => {
    return existsSync(path) && readFileSync(path, "utf8").includes(":9");
  });

  old.process.kill("SIGSTOP");
  const starting = startProxy([...own, "--port", `${port}`, "--takeover"]);
  starting.catch(() => {});
  await until("it is asked", () => socketsAt(socketPath(path)) > 1);
  old.process.kill("SIGKILL");
  await using young = await starting;
  expect(young.port).toBe(port);
  await until("it has said so", () => {
    return young.log().includes("the running lmproxy died while it was asked to share its port");
  });
  expect(Object.keys(await young.status())).toEqual(["http://127.0.0.1:9"]);
  // State file and port are its own: it can be taken over from.
  await using next = await startProxy([...own, "--port", `${port}`, "--takeover"]);
  expect(next.port).toBe(port);
});

/** One that shares its port, and is no more when it is asked to leave. */
async function startDying(statePath: string, port: number) {
  const url = "http://127.0.0.1:9";
  const what = { models: ["m"], discoveredModels: [], role: "Hybrid", speed: null } as const;
  const entry = { url, ...what, draining: false, name: null };
  const standing: Standing = {
    ...{ protocol: PROTOCOL, version: "0.0.0", pid: process.pid, host: "127.0.0.1", port },
    ...{ state: drawState([entry], "lmproxy"), removed: [], routable: [] },
  };
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      if (bytes.includes("POST /share")) {
        const body = JSON.stringify(standing);
        socket.end(
          `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
        );
      } else if (bytes.includes("POST /leave")) {
        for (const one of open) one.destroy();
        server.close();
      }
    });
  });
  const { promise: listens, resolve } = Promise.withResolvers<void>();
  server.listen(socketPath(statePath), resolve);
  await listens;
  return { [Symbol.dispose]: () => server.close() };
}

test("one that dies when it is to leave: what it said first counts", async () => {
  const path = join(folder, "leaves.json");
  const port = freePort();
  using _old = await startDying(path, port);
  await using young = await startProxy(["--state", path, "--port", `${port}`, "--takeover"]);
  await until("it has said so", () => {
    return young.log().includes("the lmproxy that was taken over from has died");
  });
  expect(Object.keys(await young.status())).toEqual(["http://127.0.0.1:9"]);
  // And its file is its own.
  const second = startProxy(["--state", path]);
  expect(await second.then(String, String)).toContain("take its place with --takeover");
});
