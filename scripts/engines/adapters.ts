/** LoRA adapters on vLLM: who has one is asked for it, whatever is loaded and unloaded meanwhile. */
import { join } from "node:path";
import { removeScratch, scratchDirectory } from "../../bench/host.ts";
import type { ProxyProcess } from "../../test/support/proxy.ts";
import { until } from "../../test/support/until.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import { compareAdapter } from "./bytes.ts";
import { Engine } from "./engine.ts";
import { startExecutable } from "./executable.ts";
import { program, run } from "./install.ts";
import type { Kind } from "./kinds.ts";
import type { Row } from "./report.ts";

const CHAT = "/v1/chat/completions";
const LOAD = "/v1/load_lora_adapter";
const UNLOAD = "/v1/unload_lora_adapter";
/** Requests under way while an adapter is loaded and unloaded. */
const AT_ONCE = 4;

export async function tryAdapters(kind: Kind, folder: string, executable: string): Promise<Row[]> {
  const scratch = scratchDirectory("adapters");
  try {
    const [a, b] = [join(scratch, "a"), join(scratch, "b")];
    for (const [seed, path] of [a, b].entries()) {
      const make = [program("tiny_model.py"), "adapter", path, "12", String(seed)];
      await run([join(folder, "bin/python"), ...make]);
    }
    await using first = await Engine.start(kind, folder, { adapters: [`a=${a}`] });
    await using second = await Engine.start(kind, folder, { adapters: [] });
    await using proxy = await startExecutable(executable, ["--node", first.url, second.url]);
    await untilHealthy(proxy, 2);
    await until("its adapter is known", async () =>
      (await proxy.status())[first.url]?.models.includes("a"),
    );
    return await inTurn(kind, proxy, first, second, b);
  } finally {
    removeScratch(scratch);
  }
}

async function inTurn(kind: Kind, proxy: ProxyProcess, first: Engine, second: Engine, b: string) {
  const rows: Row[] = [];
  const row = (what: string, isGood: boolean, seen: string) =>
    rows.push({ part: "adapters", kind: kind.name, what, seen, verdict: isGood ? "good" : "bad" });

  const alone = await cardOf(first.url, "a");
  const shown = await cardOf(proxy.url, "a");
  const before = await answered(second);
  const statuses = await askFor(proxy, "a", 8);
  const strays = (await answered(second)) - before;
  row(
    "on one engine of two",
    shown === alone && statuses === "8 x 200" && strays === 0,
    `/v1/models says of it ${shown}; 8 requests for it: ${statuses}, ${strays} at the other`,
  );
  rows.push(...(await compareAdapter(first, proxy, "a")));

  const loaded = await call(proxy.url, LOAD, { lora_name: "b", lora_path: b });
  const atOnce = await askFor(proxy, "b", 8);
  row(
    "loaded on both through lmproxy, and asked for at once",
    loaded === 200 && atOnce === "8 x 200",
    `${loaded}; 8 requests: ${atOnce}`,
  );

  const gone = await whileAsked(proxy, "b", () =>
    call(proxy.url, `${UNLOAD}?url=${first.url}`, { lora_name: "b" }),
  );
  row("unloaded at one through lmproxy, under load", /^\d+ x 200$/.test(gone), gone);
  await call(proxy.url, `${LOAD}?url=${first.url}`, { lora_name: "b", lora_path: b });
  const behind = await whileAsked(proxy, "b", () => call(second.url, UNLOAD, { lora_name: "b" }));
  const states = Object.values(await proxy.status()).map(({ state }) => state);
  row(
    "unloaded at one behind its back, under load",
    /^\d+ x 200$/.test(behind) && states.join() === "healthy,healthy",
    `${behind}; nodes ${states.join(", ")}`,
  );

  await call(first.url, UNLOAD, { lora_name: "b" });
  await call(second.url, LOAD, { lora_name: "b", lora_path: b });
  const moved = await askFor(proxy, "b", 4);
  row("moved to the other behind its back", moved === "4 x 200", `4 requests: ${moved}`);

  const last = await call(proxy.url, `${UNLOAD}?url=${second.url}`, { lora_name: "b" });
  const none = await askFor(proxy, "b", 1);
  row("unloaded where it was last", last === 200 && none === "1 x 404", `${last}; then ${none}`);
  return rows;
}

/** What a list of models says of one, but for when that was. */
async function cardOf(base: string, model: string): Promise<string> {
  const list = Object(await (await fetch(`${base}/v1/models`)).json());
  const card = Object(list.data.find(({ id }: { id: string }) => id === model));
  return `parent ${card.parent}, root ${String(card.root).split("/").at(-1)}`;
}

/** Answers that an engine has ended well, by its own word. */
async function answered({ url }: Engine): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text();
  return [...page.matchAll(/^vllm:request_success_total\{.*\} (\S+)$/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}

/** Posts it, and returns the status of the answer. */
async function call(base: string, path: string, body: object): Promise<number> {
  const answer = await fetch(base + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  await answer.bytes();
  return answer.status;
}

/** How often which status came, of `count` requests one after the other. */
async function askFor(proxy: ProxyProcess, model: string, count: number): Promise<string> {
  const statuses: number[] = [];
  for (let i = 0; i < count; i += 1) statuses.push(await askOnce(proxy, model));
  return counted(statuses);
}

/** As `askFor`, of requests that are under way before, while and after something is done. */
async function whileAsked(
  proxy: ProxyProcess,
  model: string,
  act: () => Promise<unknown>,
): Promise<string> {
  const statuses: number[] = [];
  let isOver = false;
  const askers = Array.from({ length: AT_ONCE }, async () => {
    do statuses.push(await askOnce(proxy, model));
    while (!isOver);
  });
  await until("all run", () => statuses.length >= AT_ONCE);
  await act();
  const enough = statuses.length + 2 * AT_ONCE;
  await until("more have run", () => statuses.length >= enough);
  isOver = true;
  await Promise.all(askers);
  return counted(statuses);
}

async function askOnce(proxy: ProxyProcess, model: string): Promise<number> {
  const messages = [{ role: "user", content: "Hello" }];
  return await call(proxy.url, CHAT, { model, messages, max_tokens: 4 });
}

function counted(statuses: readonly number[]): string {
  return [...Map.groupBy(statuses, (status) => status)]
    .map(([status, all]) => `${all.length} x ${status}`)
    .join(", ");
}
