/** Real sockets: which listener a connection reaches, and what becomes of the connections of one that leaves. */
import { afterEach, expect, test } from "bun:test";
import { Agent, get } from "node:http";
import { ListeningSocket, listenersAt } from "../../src/proxy/listening-socket.ts";

const servers: Bun.Server<undefined>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

function listen(name: string, port: number, reusePort: boolean): Bun.Server<undefined> {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    reusePort,
    fetch: () => new Response(name),
  });
  servers.push(server);
  return server;
}

/** Over `agent`'s connection, or one of its own. */
function ask(port: number, agent: Agent | false = false): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port, agent, host: "127.0.0.1" }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (piece: string) => {
        text += piece;
      });
      answer.on("end", () => resolve(text));
    }).on("error", reject);
  });
}

/** Who answers so many new connections. */
async function whoAnswers(port: number, count: number): Promise<string[]> {
  const names = await Promise.all(Array.from({ length: count }, () => ask(port)));
  return [...new Set(names)].sort();
}

const onLinux = test.skipIf(process.platform !== "linux");

onLinux("a port is its listener's alone, until that one shares it", async () => {
  const port = listen("first", 0, false).port ?? 0;
  expect(() => listen("second", port, true)).toThrow("in use");
  for (const socket of ListeningSocket.on(port)) socket.share();
  // Whoever does not ask for it is refused as before.
  expect(() => listen("third", port, false)).toThrow("in use");
  listen("second", port, true);
  expect(await whoAnswers(port, 60)).toEqual(["first", "second"]);
});

onLinux(
  "new connections go to another; those that stand stay, also when it is closed",
  async () => {
    const port = listen("first", 0, false).port ?? 0;
    const [socket, ...others] = ListeningSocket.on(port);
    if (socket === undefined) throw new Error("a server without a socket that listens");
    expect(others).toEqual([]);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await ask(port, agent)).toBe("first");
    socket.share();
    listen("second", port, true);
    socket.leadAway({ of: 2, at: 0 });
    expect(await whoAnswers(port, 60)).toEqual(["second"]);
    socket.close();
    expect(await whoAnswers(port, 20)).toEqual(["second"]);
    expect(await ask(port, agent)).toBe("first");
    agent.destroy();
  },
);

onLinux("of several, those that stay share what comes", async () => {
  const names = ["a", "b", "c"];
  const port = listen("a", 0, true).port ?? 0;
  const [first] = ListeningSocket.on(port);
  for (const name of names.slice(1)) listen(name, port, true);
  for (const [at, away] of names.entries()) {
    first?.leadAway({ of: 3, at });
    expect(await whoAnswers(port, 60)).toEqual(names.filter((name) => name !== away));
  }
});

onLinux(
  "they come to those of the places that are named, and how many listen is known",
  async () => {
    const names = ["a", "b", "c", "d"];
    const port = listen("a", 0, true).port ?? 0;
    const [first] = ListeningSocket.on(port);
    for (const name of names.slice(1)) listen(name, port, true);
    expect(listenersAt(port)).toBe(4);
    for (const places of [[2, 3], [0], [1, 3]]) {
      first?.leadTo(places);
      expect(await whoAnswers(port, 60)).toEqual(places.map((place) => names[place] ?? ""));
    }
  },
);

onLinux("one that takes no more refuses who comes, and answers all who came before", async () => {
  const port = listen("first", 0, false).port ?? 0;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  expect(await ask(port, agent)).toBe("first");
  for (const socket of ListeningSocket.on(port)) socket.takeNoMore();
  await expect(ask(port)).rejects.toThrow("ECONNREFUSED");
  expect(await ask(port, agent)).toBe("first");
  agent.destroy();
});
