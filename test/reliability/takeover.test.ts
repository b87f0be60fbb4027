/** `--takeover`: a new process in the place of one that serves, and nobody notices. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseState } from "../../src/state/format.ts";
import { times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { rawPost } from "../support/raw-client.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);
const folder = mkdtempSync(join(tmpdir(), "lmproxy-"));
afterAll(() => rmSync(folder, { recursive: true }));

const COMPLETIONS = "/v1/completions";
const SHORT = { model: "tiny", prompt: "x", max_tokens: 1 };

/** An engine whose streams say one word and the next when they are told to. */
function startPausingEngine() {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const event = (text: string) => `data: ${JSON.stringify({ choices: [{ text }] })}\n\n`;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    routes: {
      "/health": new Response(),
      "/v1/models": Response.json({ object: "list", data: [{ id: "tiny", object: "model" }] }),
      "/metrics": new Response("", { status: 404 }),
    },
    fetch: async (asked) => {
      if (!(await asked.text()).includes('"stream":true')) return Response.json({ choices: [] });
      const answer = async function* () {
        yield event("one");
        await released;
        yield `${event("two")}data: [DONE]\n\n`;
      };
      return new Response(answer(), { headers: { "content-type": "text/event-stream" } });
    },
  });
  return { url: server.url.origin, release, [Symbol.asyncDispose]: () => server.stop(true) };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/** Rejects when the connection ends before the answer does; nothing is sent twice. */
function send(
  port: number,
  method: "GET" | "POST",
  path: string,
  body: object | null,
  agent: Agent | false,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const sent = request({ host: "127.0.0.1", port, path, method, agent, headers }, (answer) => {
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers }));
      answer.resume();
    });
    sent.on("error", reject);
    sent.end(body === null ? "" : JSON.stringify(body));
  });
}

/** Over one connection, until the answer is another than 200, or it is over; resolves to that. */
async function askUntilMoved(
  port: number,
  path: string,
  body: object,
  isOver: () => boolean,
): Promise<Answer> {
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  for (;;) {
    const answer = await send(port, "POST", path, body, kept);
    if (answer.status === 200 && !isOver()) continue;
    kept.destroy();
    return answer;
  }
}

/** Clients that ask one short question after the other, half of them over a connection each. */
function askOnAndOn(port: number) {
  const statuses: number[] = [];
  const failures: string[] = [];
  let goesOn = true;
  async function client(agent: Agent | false): Promise<void> {
    while (goesOn) {
      await send(port, "POST", COMPLETIONS, SHORT, agent).then(
        ({ status }) => statuses.push(status),
        (error: unknown) => failures.push(String(error)),
      );
      await Bun.sleep(10);
    }
  }
  const agents = times(4, null).map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
  const clients = [...agents, ...times(4, false as const)].map(client);
  return {
    statuses,
    failures,
    async end() {
      goesOn = false;
      await Promise.all(clients);
      for (const agent of agents) agent.destroy();
    },
  };
}

test.concurrent.skipIf(process.platform !== "linux").each([
  ["one process to one", [], []],
  ["two workers to two", ["--workers", "2"], ["--workers", "2"]],
  ["one process to two workers", [], ["--workers", "2"]],
])(
  "no request, stream or node is lost from %s that take over; what sees no node changes nothing",
  async (name, oldFlags, youngFlags) => {
    await using engine = startPausingEngine();
    const [registered, drained, removed] = [
      engine.url,
      "http://127.0.0.1:9",
      "http://127.0.0.1:11",
    ];
    const path = join(folder, `${name}.json`);
    const flags = ["--state", path, "--keep-alive", "1", "--node", removed];
    await using old = await startProxy([...flags, ...oldFlags]);
    const { port } = old;
    const admin = (call: string, url: string) =>
      send(port, "POST", `/nodes/${call}`, { url }, false).then(({ status }) => status);
    expect(await admin("add", registered)).toBe(200);
    expect(await admin("add", drained)).toBe(200);
    expect(await admin("drain", drained)).toBe(200);
    expect(await admin("remove", removed)).toBe(200);
    await until("it is ready", async () => {
      return (await send(port, "GET", "/ready", null, false)).status === 200;
    });
    const streams = times(30, null).map(() =>
      rawPost(port, COMPLETIONS, { ...SHORT, stream: true }),
    );
    await until("all have begun", () => streams.every(({ receivedBytes }) => receivedBytes > 0));
    const clients = askOnAndOn(port);

    // It sees no node, since it may have none.
    const own = [...youngFlags, "--state", path, "--port", `${port}`, "--takeover"];
    const blind = startProxy([...own, "--allow-nodes", "::/128", "--health-timeout", "1"]);
    expect(await blind.then(String, String)).toContain(
      "none of the 1 nodes that the running lmproxy serves",
    );
    const asked = clients.statuses.length;
    await until("it goes on", () => clients.statuses.length > asked + 20);
    expect(old.log()).not.toContain("has taken over");

    // What changes nodes is not lost on who is connected to the old one: it is asked of the new one.
    // A worker hands it on, and may have an answer under way when it hears of that.
    let isUp = false;
    const isOver = () => isUp && oldFlags.length > 0;
    const moved = askUntilMoved(port, "/nodes/drain?x=1", { url: drained }, isOver);
    await using young = await startProxy([...flags, ...own]);
    isUp = true;
    expect(young.port).toBe(port);
    const { status, headers } = await moved;
    if (status !== 200 || !isOver()) {
      expect(status).toBe(307);
      expect(headers).toMatchObject({ location: "/nodes/drain?x=1", connection: "close" });
    }
    engine.release();
    const before = clients.statuses.length;
    await until("the new one answers", () => young.log().includes('"msg":"request"'));
    await until("all of them", () => clients.statuses.length > before + 40);
    expect(await young.status()).toMatchObject({
      [registered]: { state: "healthy" },
      [drained]: { state: "draining" },
    });
    expect(Object.keys(await young.status())).not.toContain(removed);
    for (const stream of streams) {
      const answer = await stream.ended;
      stream.leave();
      expect(answer.complete).toBe(true);
      expect(answer.body.toString()).toEndWith("data: [DONE]\n\n");
    }
    await clients.end();
    expect(clients.failures).toEqual([]);
    expect(clients.statuses.filter((status) => status !== 200)).toEqual([]);

    // Nobody takes over from it at another port, also while the old one may listen still.
    const elsewhere = startProxy([...flags, ...own, "--port", "1"]);
    expect(await elsewhere.then(String, String)).toContain(
      `it listens on 127.0.0.1 port ${port}; start this one with --host 127.0.0.1 --port ${port}`,
    );
    expect(young.log()).not.toContain("another process wants to take over");

    // It is a proxy as any other: its port and its file are its own.
    const refused = startProxy([...flags, "--port", `${port}`]);
    expect(await refused.then(String, String)).toContain("take its place with --takeover");
    expect(await admin("add", "http://127.0.0.1:13")).toBe(200);
    await until("that is written down", () => {
      const parsed = parseState(readFileSync(path));
      const urls = parsed.kind === "parsed" ? parsed.entries.map(({ url }) => url) : [];
      return urls.join() === [registered, drained, "http://127.0.0.1:13"].join();
    });
    expect(await old.process.exited).toBe(0);
    expect(await young.end()).toBe(0);
  },
);

// Nobody else could open its socket.
test.if(process.geteuid?.() === 0)(
  "root is told to take over as the user that it runs as",
  async () => {
    const path = join(folder, "anothers.json");
    await using old = await startProxy(["--state", path]);
    await until("it may be taken over from", () => existsSync(`${path}.sock`));
    chownSync(`${path}.sock`, 65_534, 65_534);
    const argv = ["--state", path, "--port", `${old.port}`, "--takeover"];
    const said = await startProxy(argv).then(String, String);
    expect(said).toContain("it is the process of user 65534");
    expect(said).toContain("start this one as that user");
    expect((await fetch(`${old.url}/health`)).status).toBe(200);
  },
);

test("without one that runs, --takeover starts as usual", async () => {
  await using proxy = await startProxy(["--state", join(folder, "alone.json"), "--takeover"]);
  expect((await fetch(`${proxy.url}/health`)).status).toBe(200);
});

test.skipIf(process.platform !== "linux")(
  "one that is given other flags is told why it sees no node",
  async () => {
    await using engine = startPausingEngine();
    const path = join(folder, "other-flags.json");
    await using old = await startProxy(["--state", path, "--node", engine.url]);
    await until("it is ready", async () => (await fetch(`${old.url}/ready`)).status === 200);
    const argv = ["--state", path, "--port", `${old.port}`, "--takeover"];
    const said = startProxy([...argv, "--health-timeout", "0.2"]).then(String, String);
    expect(await said).toContain(
      `is well as seen from this one (${engine.url}: not a node here, with these flags)`,
    );
  },
);
