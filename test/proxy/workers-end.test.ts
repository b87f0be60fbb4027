/** What a supervisor does with its workers and says of them: how they end, alone and with their proxy, and how long they are waited for. */
import { expect, test } from "bun:test";
import { Channel } from "../../src/cluster/channel.ts";
import type { Spawn } from "../../src/cluster/member.ts";
import { Supervisor } from "../../src/cluster/supervisor.ts";
import { Table, tableBytes } from "../../src/cluster/table.ts";
import { parseServeConfig } from "../../src/config/serve-config.ts";
import { VirtualTime } from "../../src/lab/virtual-time.ts";
import { WorkersEnd } from "../../src/proxy/workers-end.ts";
import { until } from "../support/until.ts";

/** What a worker does when it is asked something, and its answer, if it gives one. */
type Does = (exit: () => void, question: string, pid: number) => Promise<string> | undefined;

/**
 * Two workers that come up, and answer all but what is like `unanswered`; `does` says what each does then.
 * @param isThere Whether their executable is.
 */
async function startTwo(
  does: Does,
  flags: readonly string[],
  unanswered: { test(question: string): boolean } = /"drain"/,
  isThere = () => true,
) {
  const killed: number[] = [];
  const said: string[] = [];
  const say = (message: string, { how }: { how?: unknown } = {}) =>
    said.push(how === undefined ? message : `${message}: ${how}`);
  const log = { info: say, warning: say, error: say, debug: say };
  const time = new VirtualTime();
  let pid = 0;
  const spawn: Spawn = (receive) => {
    if (!isThere()) throw new Error("no such file");
    pid += 1;
    const own = pid;
    const { promise: exited, resolve } = Promise.withResolvers<string>();
    const worker = new Channel(receive, (question) => {
      const text = JSON.stringify(question);
      if (!unanswered.test(text)) return "1.0.0";
      return does(() => resolve("0"), text, own) ?? new Promise(() => {});
    });
    return {
      pid: own,
      exited,
      send: (message) => worker.receive(message),
      kill() {
        killed.push(own);
        resolve("SIGKILL");
      },
    };
  };
  const parsed = parseServeConfig(flags, {}, () => "");
  if (parsed.help !== null) throw new Error("help instead of a configuration");
  const { config } = parsed;
  const size = { rows: 8, clients: 0 };
  const supervisor = new Supervisor({
    count: 2,
    port: 1,
    table: new Table(new Uint8Array(tableBytes(size)), size),
    clock: time,
    spawn,
    beginning: () => ({
      table: "",
      size,
      hasSessions: false,
      hasNews: false,
      config,
      certificate: null,
      via: "",
      news: [],
    }),
    answer: () => null,
    firstListens: () => {},
    gone: () => {},
    log,
  });
  await supervisor.start();
  said.length = 0;
  return { supervisor, ending: new WorkersEnd(config, log, () => []), time, said, killed };
}

const exits: Does = (exit) => {
  exit();
  return undefined;
};

test("a worker that hangs is not waited for longer than a service manager waits for all", async () => {
  const { supervisor, ending, time, said } = await startTwo(
    () => undefined,
    ["--drain-timeout", "60"],
  );
  const over = ending.drain(supervisor);
  time.advance(64_000);
  expect(supervisor.members).toHaveLength(2);
  // 10 s after the time that they have.
  time.advance(6_000);
  await over;
  expect(supervisor.members).toHaveLength(0);
  expect(said.at(-1)).toStartWith("ending: workers ended before they had finished");
});

test("of those that ended since others took their place nothing is said: each has said it", async () => {
  const { supervisor, ending, said } = await startTwo(exits, []);
  await supervisor.drain(1_000);
  await ending.drain(supervisor);
  expect(said).toEqual([]);
});

test("of one that hangs it is said that it was killed for that, and not by whom else", async () => {
  const { supervisor, time, said } = await startTwo(() => undefined, [], /"renewed"/);
  supervisor.telling.tell({ is: "renewed", url: "http://127.0.0.1:9" });
  time.advance(17_000);
  await until("others serve", () => said.filter((one) => one === "worker serves").length === 2);
  const died = "worker died, another takes its place: worker";
  expect(said.filter((one) => one.startsWith(died))).toEqual([
    `${died} 1 gave no answer for 17 s, and was killed`,
    `${died} 2 gave no answer for 17 s, and was killed`,
  ]);
});

test("one that was replaced and is killed has not finished", async () => {
  let asked = 0;
  const counts = () => {
    asked += 1;
    return undefined;
  };
  const { supervisor, time, said } = await startTwo(counts, [], /"retire"/);
  const upgrade = supervisor.upgrade();
  for (const pid of [1, 2]) {
    await until("it is to leave", () => asked === pid);
    time.advance(17_000);
    await until("it is gone", () => said.some((one) => one.includes(`worker ${pid}`)));
  }
  await upgrade;
  const died = "worker died before it had finished: worker";
  expect(said.filter((one) => one.includes("finished"))).toEqual([
    `${died} 1 gave no answer for 17 s, and was killed`,
    `${died} 2 gave no answer for 17 s, and was killed`,
  ]);
});

test("at the end, one that comes up and says nothing is not waited for, and who asked for it is told why", async () => {
  let isReplaced = false;
  const asked: string[] = [];
  const does: Does = (exit, question, pid) => {
    asked.push(question);
    if (pid !== 3) exit();
    return undefined;
  };
  const unanswered = {
    test: (question: string) =>
      question.includes('"drain"') || (isReplaced && question.includes('"begin"')),
  };
  const { supervisor, ending } = await startTwo(does, [], unanswered);
  isReplaced = true;
  const upgrade = supervisor.upgrade();
  upgrade.catch(() => {});
  await until("one comes up", () => asked.length === 1);
  await ending.drain(supervisor);
  const why = "Nothing was changed: a worker does not come up: the proxy is shutting down.";
  await expect(upgrade).rejects.toThrow(why);
});

test("at the end, one that has just begun to listen finishes what it has, as the others do", async () => {
  let isReplaced = false;
  const listens = Promise.withResolvers<string>();
  const exits: (() => void)[] = [];
  const asked: string[] = [];
  const does: Does = (exit, question) => {
    asked.push(question);
    if (question.includes('"listen"')) return listens.promise;
    exits.push(exit);
    return undefined;
  };
  const unanswered = {
    test: (question: string) => isReplaced && /"listen"|"drain"/.test(question),
  };
  const { supervisor, ending, killed } = await startTwo(does, [], unanswered);
  isReplaced = true;
  const upgrade = supervisor.upgrade();
  upgrade.catch(() => {});
  await until("one is to listen", () => asked.length === 1);
  const over = ending.drain(supervisor);
  await until("all are to end", () => exits.length === 3);
  listens.resolve("");
  await expect(upgrade).rejects.toThrow("the proxy is shutting down");
  expect(killed).toEqual([]);
  for (const exit of exits) exit();
  await over;
});

test("while workers get another certificate, nobody is to take their place: their listeners come and go", async () => {
  const listens = Promise.withResolvers<string>();
  const asked: number[] = [];
  const does: Does = (_, __, pid) => {
    asked.push(pid);
    return listens.promise;
  };
  const { supervisor } = await startTwo(does, [], /"do":"certificate"/);
  expect(supervisor.isChanging).toBe(false);
  const renewed = supervisor.renew({ key: "", cert: "" });
  await until("the first is asked", () => asked.length === 1);
  expect(supervisor.isChanging).toBe(true);
  listens.resolve("");
  await renewed;
  expect(asked).toEqual([1, 2]);
  expect(supervisor.isChanging).toBe(false);
});

test("one that dies while another executable is put in its place does not end all: one comes up when that is there", async () => {
  let isThere = true;
  const { supervisor, time, said } = await startTwo(exits, [], undefined, () => isThere);
  isThere = false;
  const [member] = supervisor.members;
  member?.kill();
  const missing = "worker died, another takes its place: no such file";
  await until("the next one is missing", () => said.includes(missing));
  time.advance(5_000);
  await until("and still is", () => said.filter((one) => one === missing).length === 2);
  isThere = true;
  time.advance(5_000);
  await until("one serves", () => said.includes("worker serves"));
  expect(supervisor.members).toHaveLength(2);
});
