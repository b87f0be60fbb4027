/** Engines that have names and speak HTTPS: which address is asked, and who proves what. */
import { afterEach, describe, expect, test } from "bun:test";
import { classify } from "../../src/upstream/attempt.ts";
import { PinnedFetch } from "../../src/upstream/pinned-fetch.ts";
import { TEST_CERTIFICATE, TEST_KEY } from "../support/tls/files.ts";

function after(ms: number, act: () => void): () => void {
  const timer = setTimeout(act, ms);
  return () => clearTimeout(timer);
}

const servers: { stop(force: boolean): unknown }[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop(true)));
});

async function textOf(answer: Promise<Response>): Promise<string> {
  return await (await answer).text();
}

describe("a name that a certificate proves", () => {
  /** An engine on loopback whose certificate is for localhost and 127.0.0.1. */
  async function startTls() {
    const [key, cert] = [TEST_KEY, TEST_CERTIFICATE].map((path) => Bun.file(path));
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { key, cert },
      fetch: (request) => new Response(request.headers.get("host")),
    });
    servers.push(server);
    const ca = await Bun.file(TEST_CERTIFICATE).text();
    const connected: string[] = [];
    const state = { nowMs: 0, resolve: async () => [{ address: "127.0.0.1" }] };
    const pinned = new PinnedFetch({
      clock: { now: () => state.nowMs, after },
      resolve: () => state.resolve(),
      refusal: () => null,
      fetch: (url, init) => {
        connected.push(url);
        return fetch(url, { ...init, tls: { ...init.tls, ca } });
      },
    });
    return { pinned, port: server.port ?? 0, connected, state };
  }

  test("is asked at the address last known while its name server is silent", async () => {
    const { pinned, port, connected, state } = await startTls();
    const ask = () => textOf(pinned.fetch(`https://localhost:${port}/x`, {}));
    expect(await ask()).toBe(`localhost:${port}`);
    state.nowMs += 5_000;
    state.resolve = () => new Promise(() => {});
    expect(await ask()).toBe(`localhost:${port}`);
    expect(connected).toEqual(Array(2).fill(`https://127.0.0.1:${port}/x`));
  });

  test("has to be the name, though the address is in the certificate", async () => {
    const { pinned, port } = await startTls();
    const answer = pinned.fetch(`https://engine.test:${port}/`, {});
    const error: unknown = await answer.then(String, (reason: unknown) => reason);
    expect(classify(error)).toMatchObject({ kind: "untrusted" });
  });

  test("is asked at its next address where no connection can be had", async () => {
    const { pinned, port, state } = await startTls();
    state.resolve = async () => [{ address: "127.0.0.9" }, { address: "127.0.0.1" }];
    expect(await textOf(pinned.fetch(`https://localhost:${port}/`, {}))).toBe(`localhost:${port}`);
  });
});
