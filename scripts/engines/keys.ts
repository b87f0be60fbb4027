/** Engines that ask for a key, and clients that have another one. */
import type { ProxyProcess } from "../../test/support/proxy.ts";
import { Engine } from "./engine.ts";
import { startExecutable } from "./executable.ts";
import type { Kind } from "./kinds.ts";
import type { Row } from "./report.ts";

const ENGINE_KEY = "sk-engine-d41d8cd98f";
const CLIENT_KEY = "sk-client-7215ee9c7d";
const LIMIT_MS = 20_000;
const POLL_MS = 100;

export async function tryKeys(kind: Kind, folder: string, executable: string): Promise<Row[]> {
  await using engine = await Engine.start(kind, folder, { apiKey: ENGINE_KEY });
  const node = ["--node", engine.url];
  const row = (what: string, isGood: boolean, seen: string): Row => ({
    ...{ part: "keys", kind: kind.name, what, seen, verdict: isGood ? "good" : "bad" },
  });
  const rows: Row[] = [];
  {
    await using proxy = await startExecutable(executable, node);
    await untilLooked(proxy);
    const none = await statusWith(proxy, null);
    const { last_error } = (await proxy.status())[engine.url] ?? {};
    const said = `${none.text} ${last_error ?? ""} ${proxy.log()}`;
    rows.push(
      row(
        "engine has a key, lmproxy has none",
        none.status >= 400 && said.includes("--upstream-api-key"),
        `client gets ${none.status} ${none.text.slice(0, 140)}; node: ${last_error ?? "no error"}`,
      ),
    );
  }
  const keys = ["--api-keys", CLIENT_KEY, "--upstream-api-key", ENGINE_KEY];
  await using proxy = await startExecutable(executable, [...node, ...keys]);
  await untilLooked(proxy, CLIENT_KEY);
  const seen = await Promise.all([
    statusWith(proxy, CLIENT_KEY),
    statusWith(proxy, ENGINE_KEY),
    statusWith(proxy, null),
  ]);
  const statuses = seen.map(({ status }) => status).join(", ");
  const status = (await proxy.status(CLIENT_KEY))[engine.url];
  const isRead = status?.state === "healthy" && status.running !== null;
  const isSecret = ![ENGINE_KEY, CLIENT_KEY].some((key) => proxy.log().includes(key));
  rows.push(
    row(
      "--api-keys and --upstream-api-key",
      statuses === "200, 401, 401" && isRead && isSecret,
      `with the client's key, the engine's, none: ${statuses}; metrics ${isRead ? "read" : "not read"}; keys in the log: ${isSecret ? "none" : "yes"}`,
    ),
  );
  return rows;
}

interface Said {
  readonly status: number;
  readonly text: string;
}

async function statusWith(proxy: ProxyProcess, key: string | null): Promise<Said> {
  const answer = await fetch(`${proxy.url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify({
      ...{ model: "tiny", max_tokens: 3, messages: [{ role: "user", content: "Hello" }] },
    }),
  });
  return { status: answer.status, text: await answer.text() };
}

/** Until the node has been probed and its gauges and models have been asked for. */
async function untilLooked(proxy: ProxyProcess, key?: string): Promise<void> {
  const endMs = performance.now() + LIMIT_MS;
  while (performance.now() < endMs) {
    const [node] = Object.values(await proxy.status(key));
    if (node?.state === "healthy" && (node.running !== null || node.last_error !== null)) return;
    if (node?.state === "unhealthy") return;
    await Bun.sleep(POLL_MS);
  }
}
