/** Workers are replaced by what lies in the place of their executable, and end with their supervisor. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { engineStarter } from "../sim/server/running.ts";
import { ask, times } from "../support/ask.ts";
import { startGateEngine } from "../support/gate-engine.ts";
import { kill } from "../support/kill.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { rawPost } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const start = engineStarter();
let engine: RunningEngine;
const STREAM = { model: "tiny", prompt: "x", ignore_eos: true, stream: true, max_tokens: 60 };
/** What streams stood still for has happened: they need not take their time any more. */
const QUICK = 100;
const folder = mkdtempSync(join(tmpdir(), "lmproxy-upgrade-"));
const executable = join(folder, "main.ts");
const MAIN = join(import.meta.dir, "../../src/main.ts");

/** What is there from now on. */
function install(source: string): void {
  writeFileSync(executable, source);
}

let proxy: ProxyProcess;
beforeAll(async () => {
  engine = await startEngine({ models: ["tiny"], timeScale: 1 });
  install(`import ${JSON.stringify(MAIN)};`);
  const flags = ["--workers", "2", "--node", engine.url, "--drain-timeout", "20"];
  proxy = await startProxy(flags, { command: [process.execPath, executable] });
  await untilHealthy(proxy);
});
afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop(true);
  rmSync(folder, { recursive: true });
});

function pids(): number[] {
  return [...proxy.log().matchAll(/worker serves","pid":(\d+)/g)].map(([, pid]) => Number(pid));
}

/** Short requests, one after the other, over one connection or each over its own; counts what fails. */
async function callAgainAndAgain(agent: Agent | false, while_: () => boolean) {
  const failures: string[] = [];
  let count = 0;
  for (; while_(); count += 1) {
    const failure = await new Promise<string | null>((resolve) => {
      const sent = request(
        { port: proxy.port, host: "127.0.0.1", path: "/v1/models", agent },
        (answer) => {
          answer.resume();
          answer.on("end", () =>
            resolve(answer.statusCode === 200 ? null : `${answer.statusCode}`),
          );
          answer.on("error", (error) => resolve(error.message));
        },
      );
      sent.on("error", (error) => resolve(error.message));
      sent.end();
    });
    if (failure !== null) failures.push(failure);
  }
  return { count, failures };
}

async function upgrade(): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(`${proxy.url}/upgrade`, { method: "POST" });
  return { status: answer.status, text: await answer.text() };
}

test("an upgrade replaces all workers, cuts no stream and fails no request, on new and on kept connections", async () => {
  const streams = times(10, null).map(() => rawPost(proxy.port, "/v1/completions", STREAM));
  await until("all have begun", () => streams.every(({ receivedBytes }) => receivedBytes > 0));
  engine.setPace(0);
  const before = pids();
  let isOver = false;
  const agents = times(6, null).map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
  const calls = [...agents, ...times(6, false as const)].map((agent) =>
    callAgainAndAgain(agent, () => !isOver),
  );
  expect(await upgrade()).toMatchObject({ status: 200 });
  await until("they are told of", () => pids().length === before.length + 2);
  // They finish what they have, and then they end.
  engine.setPace(QUICK);
  for (const stream of streams) {
    const answer = await stream.ended;
    expect(answer.complete).toBe(true);
    expect(answer.body.toString()).toEndWith("data: [DONE]\n\n");
    stream.leave();
  }
  await until("the old ones have finished", async () => {
    // A connection that was kept is left when it is used.
    await (await fetch(`${proxy.url}/health`)).bytes();
    return proxy.log().split("worker has finished").length === 3;
  });
  isOver = true;
  for (const { count, failures } of await Promise.all(calls)) {
    expect(count).toBeGreaterThan(0);
    expect(failures).toEqual([]);
  }
  for (const agent of agents) agent.destroy();
});

test("a worker that dies while all are replaced leaves as many as there were", async () => {
  install(`import ${JSON.stringify(MAIN)};`);
  const flags = ["--workers", "2", "--node", engine.url];
  await using one = await startProxy(flags, { command: [process.execPath, executable] });
  const gate = join(folder, "gate");
  const reached = join(folder, "gate.reached");
  const waits = `import { existsSync, writeFileSync } from "node:fs";
    writeFileSync(${JSON.stringify(reached)}, "");
    while (!existsSync(${JSON.stringify(gate)})) await Bun.sleep(10);`;
  const children = () =>
    `${Bun.spawnSync(["pgrep", "-P", `${one.process.pid}`]).stdout}`.trim().split("\n");
  const said = (event: string) => one.log().split(`"msg":"${event}"`).length - 1;
  const serves = `await import(${JSON.stringify(MAIN)});`;
  for (const { victim, comes, outcome } of [
    { victim: 0, comes: serves, outcome: "upgraded" },
    { victim: 1, comes: serves, outcome: "upgraded" },
    { victim: 0, comes: "process.exit(3);", outcome: "not upgraded" },
  ]) {
    for (const file of [gate, reached]) rmSync(file, { force: true });
    install(waits + comes);
    const old = children();
    const [deaths, outcomes] = [said("worker died, another takes its place"), said(outcome)];
    one.process.kill("SIGUSR2");
    // Until it has read what it is to do, another file in that place would have it do something else.
    await until("the first new one comes up", () => existsSync(reached));
    kill(old[victim], "SIGKILL");
    await until("it is known", () => said("worker died, another takes its place") > deaths);
    install(serves);
    writeFileSync(gate, "");
    await until("it is over", () => said(outcome) > outcomes);
    const gone = outcome === "upgraded" ? old : old.slice(victim, victim + 1);
    await until("they have ended", () => children().every((pid) => !gone.includes(pid)));
    expect(children().length).toBe(2);
  }
});

test("a replaced worker answers who is connected for as long as connections are kept, whatever time streams have at the end", async () => {
  install(`import ${JSON.stringify(MAIN)};`);
  const gated = startGateEngine();
  const flags = ["--workers", "1", "--node", gated.url, "--drain-timeout", "0.1"];
  await using one = await startProxy(flags, { command: [process.execPath, executable] });
  await untilHealthy(one);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const models = () =>
    new Promise<{ readonly status: number | undefined; readonly connection: string | undefined }>(
      (resolve, reject) => {
        const path = "/v1/models";
        const sent = request({ port: one.port, host: "127.0.0.1", path, agent }, (answer) => {
          answer.resume();
          answer.on("end", () =>
            resolve({ status: answer.statusCode, connection: answer.headers.connection }),
          );
        });
        sent.on("error", reject);
        sent.end();
      },
    );
  expect(await models()).toMatchObject({ status: 200 });
  const held = ask(one);
  await until("it is at the engine", () => gated.waiting === 1);
  // The second takes longer than the time limit.
  for (let replaced = 0; replaced < 2; replaced += 1) {
    expect((await fetch(`${one.url}/upgrade`, { method: "POST" })).status).toBe(200);
  }
  expect(await models()).toEqual({ status: 200, connection: "close" });
  gated.release(1);
  expect((await held).status).toBe(200);
  await gated.stop();
});

test("what does not come up changes nothing, and is said; SIGUSR2 asks for the same", async () => {
  install("process.exit(3);");
  const before = pids();
  const { status, text } = await upgrade();
  expect(status).toBe(502);
  expect(text).toContain("Nothing was changed: a worker does not come up");
  proxy.process.kill("SIGUSR2");
  await until("it is said", () => proxy.log().includes('"msg":"not upgraded"'));
  expect(pids()).toEqual(before);
  expect((await ask(proxy)).status).toBe(200);
});

test("the supervisor is replaced, too, again and again, and stays the same process for who started it", async () => {
  install(`import ${JSON.stringify(MAIN)};`);
  const flags = ["--workers", "1", "--node", engine.url, "--state", join(folder, "nodes.json")];
  await using one = await startProxy(flags, { command: [process.execPath, executable] });
  await untilHealthy(one);
  const serving = () => one.log().split('"msg":"worker serves"').length - 1;
  const replace = async () => {
    const answer = await fetch(`${one.url}/upgrade?supervisor=true`, { method: "POST" });
    return { status: answer.status, text: await answer.text() };
  };
  for (const count of [2, 3]) {
    engine.setPace(1);
    const stream = rawPost(one.port, "/v1/completions", STREAM);
    await until("it has begun", () => stream.receivedBytes > 0);
    engine.setPace(0);
    const { status, text } = await replace();
    expect({ status, text }).toMatchObject({ status: 200 });
    expect(text).toContain("The supervisor and all workers are of version");
    await until("it is told of", () => serving() === count);
    engine.setPace(QUICK);
    expect((await ask(one)).status).toBe(200);
    expect((await stream.ended).body.toString()).toEndWith("data: [DONE]\n\n");
    stream.leave();
  }
  engine.setPace(1);
  install("process.exit(3);");
  const failed = await replace();
  expect(failed.status).toBe(502);
  expect(failed.text).toContain("Nothing was changed: the new process ended with 3");
  expect((await ask(one)).status).toBe(200);
  const stream = rawPost(one.port, "/v1/completions", STREAM);
  await until("it has begun", () => stream.receivedBytes > 0);
  // As systemd ends a service: all its processes at once, and one that ends just then is no failure.
  Bun.spawnSync(["pkill", "-TERM", "-P", `${one.process.pid}`]);
  one.process.kill("SIGTERM");
  engine.setPace(QUICK);
  expect((await stream.ended).body.toString()).toEndWith("data: [DONE]\n\n");
  stream.leave();
  expect(await one.process.exited).toBe(0);
  await expect(fetch(`${one.url}/health`)).rejects.toThrow();
});

test("when workers die again and again, all ends with a word", async () => {
  const [victim] = pids().slice(-1);
  kill(victim, "SIGKILL");
  expect(await proxy.process.exited).toBe(1);
  const word = "lmproxy: 5 workers died within a minute, so all ends";
  await until("it is said", () => proxy.log().includes(word));
});

test("SIGTERM lets all workers finish; one worker has a supervisor, too", async () => {
  const engine = await start({ timeScale: 1 });
  await using alone = await startProxy(["--workers", "1", "--node", engine.url]);
  await untilHealthy(alone);
  const stream = rawPost(alone.port, "/v1/completions", { ...STREAM, max_tokens: 15 });
  await until("it has begun", () => stream.receivedBytes > 0);
  alone.process.kill("SIGTERM");
  const answer = await stream.ended;
  expect(answer.complete).toBe(true);
  expect(answer.body.toString()).toEndWith("data: [DONE]\n\n");
  expect(await alone.process.exited).toBe(0);
});

test("workers end with a supervisor that is killed, and the port is free for the next", async () => {
  await using first = await startProxy(["--workers", "2"]);
  const port = ["--port", `${first.port}`];
  await first.end("SIGKILL");
  await until("the port is free", async () => {
    const next = await startProxy(port).catch(() => null);
    await next?.end("SIGKILL");
    return next !== null;
  });
});

test("one that cannot take the supervisor's place waits for no pipe, ends with it, and says nothing of how it ended", async () => {
  install(`import ${JSON.stringify(MAIN)};`);
  const pipe = join(folder, "admin-key");
  Bun.spawnSync(["mkfifo", pipe]);
  const writer = Bun.spawn(["sh", "-c", 'echo key > "$0"', pipe]);
  const flags = ["--admin-key", `@${pipe}`, "--workers", "1", "--state", join(folder, "one.json")];
  await using one = await startProxy(flags, { command: [process.execPath, executable] });
  await writer.exited;
  const replace = () =>
    fetch(`${one.url}/upgrade?supervisor=true`, {
      method: "POST",
      headers: { authorization: "Bearer key" },
    });
  const refused = await replace();
  expect(refused.status).toBe(502);
  expect(await refused.text()).toContain("Nothing was changed: the new process ended with 2");
  const why = `cannot read the file "${pipe}" (it is no regular file)`;
  await until("it is said", () => one.log().includes(why));
  install("setInterval(() => {}, 60_000);");
  const asked = replace().catch(() => null);
  const children = () => `${Bun.spawnSync(["pgrep", "-P", `${one.process.pid}`]).stdout}`.trim();
  await until("it is on its way", () => children().split("\n").length === 2);
  expect(await one.end()).toBe(0);
  await asked;
});
