import { afterEach, describe, expect, test } from "bun:test";
import { AddressRefused } from "../../src/core/address/address-policy.ts";
import { NodePolicy } from "../../src/discovery/node-policy.ts";
import { classify } from "../../src/upstream/attempt.ts";
import { PinnedFetch } from "../../src/upstream/pinned-fetch.ts";

function after(ms: number, act: () => void): () => void {
  const timer = setTimeout(act, ms);
  return () => clearTimeout(timer);
}

/** An engine on loopback that tells which host it was asked for, and a resolver that tests change. */
function setUp() {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) =>
      new Response(`${request.headers.get("host")} ${new URL(request.url).pathname}`),
  });
  const port = server.port ?? 0;
  const asked: string[] = [];
  const connected: string[] = [];
  const state = {
    nowMs: 0,
    addresses: ["127.0.0.1"] as readonly string[],
    resolve: async (_hostname: string) => state.addresses.map((address) => ({ address })),
  };
  const policy = new NodePolicy({ allow: [], proxyPort: () => 1 });
  const pinned = new PinnedFetch({
    clock: { now: () => state.nowMs, after },
    resolve: (hostname) => {
      asked.push(hostname);
      return state.resolve(hostname);
    },
    refusal: (hostname, address, toPort) => policy.addressRefusal(hostname, address, toPort),
    fetch: (url, init) => {
      connected.push(url);
      return fetch(url, init);
    },
  });
  return { server, port, asked, connected, state, pinned };
}

const servers: { stop(force: boolean): unknown }[] = [];

function start() {
  const made = setUp();
  servers.push(made.server);
  return made;
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop(true)));
});

async function textOf(answer: Promise<Response>): Promise<string> {
  return await (await answer).text();
}

describe("a name", () => {
  test("is resolved here, asked for by its name, and kept for a while", async () => {
    const { pinned, port, asked, connected, state } = start();
    const url = `http://engine.test:${port}/v1/x?y=1`;
    expect(await textOf(pinned.fetch(url, {}))).toBe(`engine.test:${port} /v1/x`);
    await textOf(pinned.fetch(url, { method: "POST", body: "{}" }));
    expect(asked).toEqual(["engine.test"]);
    expect(connected).toEqual(Array(2).fill(`http://127.0.0.1:${port}/v1/x?y=1`));
    state.nowMs += 5_000;
    await textOf(pinned.fetch(url, {}));
    expect(asked).toHaveLength(2);
  });

  test("that is asked for many times at once is resolved once", async () => {
    const { pinned, port, asked } = start();
    const answers = Array.from({ length: 10 }, () =>
      pinned.fetch(`http://engine.test:${port}/`, {}),
    );
    await Promise.all(answers.map(textOf));
    expect(asked).toHaveLength(1);
  });

  test.each([
    ["169.254.169.254", "link-local"],
    ["fe80::1%eth0", "link-local"],
    ["::ffff:169.254.169.254", "link-local"],
    ["100.100.100.200", "metadata"],
    ["0.0.0.0", "unspecified"],
  ])("that leads to %s is not connected to", async (address, why) => {
    const { pinned, connected, state } = start();
    // One good address beside it does not help: a name server may give the other one next.
    state.addresses = ["127.0.0.1", address];
    const error: unknown = await pinned.fetch("http://rebind.test/x", {}).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(AddressRefused);
    expect(classify(error)).toMatchObject({ kind: "forbidden" });
    expect(classify(error).detail).toStartWith(`rebind.test: ${address} is `);
    expect(classify(error).detail).toContain(why);
    await expect(pinned.fetch("https://rebind.test/x", {})).rejects.toBeInstanceOf(AddressRefused);
    expect(connected).toEqual([]);
  });

  test("that leads to the proxy itself is not connected to, its other ports are", async () => {
    const { pinned, port, connected } = start();
    await expect(pinned.fetch("http://engine.test:1/x", {})).rejects.toBeInstanceOf(AddressRefused);
    expect(connected).toEqual([]);
    expect(await textOf(pinned.fetch(`http://engine.test:${port}/x`, {}))).toContain("/x");
  });

  test("that was good and turns bad is left, and taken up again when it is good", async () => {
    const { pinned, port, state } = start();
    const ask = () => textOf(pinned.fetch(`http://engine.test:${port}/`, {}));
    await ask();
    state.addresses = ["169.254.169.254"];
    state.nowMs += 5_000;
    await expect(ask()).rejects.toBeInstanceOf(AddressRefused);
    state.addresses = ["127.0.0.1"];
    state.nowMs += 5_000;
    expect(await ask()).toBe(`engine.test:${port} /`);
  });

  test("whose first address does not answer is asked at the next one, for this request too", async () => {
    const { pinned, port, connected, state } = start();
    state.addresses = ["127.0.0.9", "127.0.0.8", "127.0.0.1"];
    const ask = () =>
      textOf(pinned.fetch(`http://engine.test:${port}/`, { method: "POST", body: "{}" }));
    expect(await ask()).toContain("engine.test");
    expect(await ask()).toContain("engine.test");
    state.nowMs += 5_000;
    expect(await ask()).toContain("engine.test");
    expect(connected.map((url) => new URL(url).hostname)).toEqual([
      "127.0.0.9",
      "127.0.0.8",
      ...["127.0.0.1", "127.0.0.1", "127.0.0.1"],
    ]);
  });

  test("has all of its addresses used, in turn, and those that are down left alone for a while", async () => {
    const { pinned, port, connected, state } = start();
    const hosts = () => connected.splice(0).map((url) => new URL(url).hostname);
    state.addresses = ["127.0.0.1", "::ffff:127.0.0.1"];
    const ask = () => textOf(pinned.fetch(`http://engine.test:${port}/`, {}));
    for (let i = 0; i < 4; i += 1) await ask();
    const other = "[::ffff:7f00:1]";
    expect(hosts()).toEqual(["127.0.0.1", other, "127.0.0.1", other]);
    state.addresses = ["127.0.0.9", "127.0.0.1"];
    state.nowMs += 5_000;
    for (let i = 0; i < 3; i += 1) await ask();
    expect(hosts()).toEqual(["127.0.0.9", "127.0.0.1", "127.0.0.1", "127.0.0.1"]);
    state.nowMs += 31_000;
    for (let i = 0; i < 2; i += 1) await ask();
    expect(hosts()).toContain("127.0.0.9");
  });

  test("of which no address answers fails once all have been tried", async () => {
    const { pinned, port, connected, state } = start();
    state.addresses = ["127.0.0.9", "127.0.0.8"];
    await expect(pinned.fetch(`http://engine.test:${port}/`, {})).rejects.toThrow();
    expect(connected.map((url) => new URL(url).hostname)).toEqual(["127.0.0.9", "127.0.0.8"]);
  });

  test("goes on by its last address while the name server says nothing, and is told when it speaks", async () => {
    const { pinned, port, connected, state } = start();
    const ask = () => textOf(pinned.fetch(`http://engine.test:${port}/`, {}));
    await ask();
    const answers: ((found: { address: string }[]) => void)[] = [];
    state.resolve = () => new Promise((resolve) => answers.push(resolve));
    state.nowMs += 5_000;
    const waiting = Array.from({ length: 20 }, ask);
    for (const text of await Promise.all(waiting)) expect(text).toContain("engine.test");
    // Nobody waits for it any more.
    for (let i = 0; i < 20; i += 1) expect(await ask()).toContain("engine.test");
    expect(answers).toHaveLength(1);
    expect(new Set(connected.map((url) => new URL(url).hostname))).toEqual(new Set(["127.0.0.1"]));
    answers[0]?.([{ address: "169.254.169.254" }]);
    await Bun.sleep(0);
    await expect(ask()).rejects.toBeInstanceOf(AddressRefused);
  });

  test("keeps its addresses while the name server fails; without any it cannot be resolved", async () => {
    const { pinned, port, state } = start();
    const ask = () => textOf(pinned.fetch(`http://engine.test:${port}/`, {}));
    const { resolve } = state;
    state.resolve = async () => {
      throw new Error("SERVFAIL");
    };
    const error: unknown = await ask().catch((thrown) => thrown);
    expect(classify(error)).toEqual({
      kind: "unreachable",
      detail: "no connection: ENOTFOUND",
    });
    state.resolve = resolve;
    await ask();
    state.resolve = async () => {
      throw new Error("SERVFAIL");
    };
    state.nowMs += 60_000;
    expect(await ask()).toContain("engine.test");
  });

  test("that there is no more is left after half a minute: another may have its address by then", async () => {
    const { pinned, port, connected, state } = start();
    const ask = () => textOf(pinned.fetch(`http://engine.test:${port}/`, {}));
    const { resolve } = state;
    await ask();
    state.resolve = async () => [];
    state.nowMs += 5_000;
    expect(await ask()).toContain("engine.test");
    state.nowMs += 29_000;
    expect(await ask()).toContain("engine.test");
    state.resolve = async () => {
      throw new Error("SERVFAIL");
    };
    state.nowMs += 5_000;
    expect(await ask()).toContain("engine.test");
    connected.splice(0);
    state.resolve = async () => [];
    state.nowMs += 5_000;
    const error: unknown = await ask().catch((thrown) => thrown);
    expect(classify(error).detail).toBe("no connection: ENOTFOUND");
    state.resolve = async () => {
      throw new Error("SERVFAIL");
    };
    await expect(ask()).rejects.toThrow("cannot be resolved");
    expect(connected).toEqual([]);
    state.resolve = resolve;
    expect(await ask()).toContain("engine.test");
  });

  test("whose resolution hangs holds nobody longer than the request's own limit", async () => {
    const { pinned, state } = start();
    state.resolve = () => new Promise(() => {});
    const controller = new AbortController();
    const answer = pinned.fetch("http://engine.test/", { signal: controller.signal });
    controller.abort();
    await expect(answer).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("whether a node can be reached", () => {
  test("is tried wherever its requests go, and the addresses that are well come first", async () => {
    const { pinned, port, connected, state } = start();
    state.addresses = ["127.0.0.9", "127.0.0.1"];
    const tried: string[] = [];
    const check = async (url: string) => {
      tried.push(new URL(url).hostname);
      return new URL(url).hostname === "127.0.0.1";
    };
    expect(await pinned.reachable(`http://engine.test:${port}`, 1_000, check)).toBe(false);
    expect(await pinned.reachable(`http://engine.test:${port}`, 1_000, check)).toBe(true);
    // Both may have requests; the first is left alone then.
    expect(tried).toEqual(["127.0.0.9", "127.0.0.1", "127.0.0.1"]);
    await textOf(pinned.fetch(`http://engine.test:${port}/`, {}));
    expect(connected.map((url) => new URL(url).hostname)).toEqual(["127.0.0.1"]);
    await pinned.reachable("http://127.0.0.7:1", 1_000, check);
    expect(tried.slice(3)).toEqual(["127.0.0.7"]);
  });

  test("is not tried where no engine may be, nor for longer than it may take", async () => {
    const { pinned, state } = start();
    const check = () => Promise.reject(new Error("tried"));
    state.addresses = ["169.254.169.254"];
    expect(await pinned.reachable("http://rebind.test", 1_000, check)).toBe(false);
    state.resolve = () => new Promise(() => {});
    expect(await pinned.reachable("http://slow.test", 1, check)).toBe(false);
  });
});

test.each(["127.0.0.1", "[::1]"])("an address is passed on as it is: %s", async (host) => {
  const seen: string[] = [];
  const pinned = new PinnedFetch({
    clock: { now: () => 0, after },
    resolve: () => Promise.reject(new Error("no name")),
    refusal: () => "no name",
    fetch: async (url) => {
      seen.push(url);
      return new Response();
    },
  });
  for (const end of ["", "/", ":8000", ":8000/x?y", "/x"])
    await pinned.fetch(`http://${host}${end}`, {});
  expect(seen).toHaveLength(5);
});

test("a name of digits is a name, an address is not", async () => {
  const asked: string[] = [];
  const pinned = new PinnedFetch({
    clock: { now: () => 0, after },
    resolve: async (hostname) => {
      asked.push(hostname);
      return [{ address: "127.0.0.1" }];
    },
    refusal: () => null,
    fetch: async () => new Response(),
  });
  for (const host of ["1.2.3.4", "1.2.3.4.nip.test", "0a", "a"])
    await pinned.fetch(`http://${host}/`, {});
  expect(asked).toEqual(["1.2.3.4.nip.test", "0a", "a"]);
});
