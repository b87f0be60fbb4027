/** Questions to a process that may stand still. */
import { expect, test } from "bun:test";
import { Attended } from "../../src/cluster/attended.ts";
import { Channel } from "../../src/cluster/channel.ts";
import { VirtualTime } from "../../src/lab/virtual-time.ts";

/** All that has been settled by now has been heard. */
async function soon(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** Two processes, of which the other hears nothing as long as it stands still, and all of it afterwards. */
function twoProcesses(answer: (question: unknown) => unknown) {
  const time = new VirtualTime();
  const unheard: unknown[] = [];
  const asked: unknown[] = [];
  const state = { standsStill: false };
  const there = new Channel<unknown>(
    (message) => here.receive(message),
    (question) => {
      asked.push(question);
      return answer(question);
    },
  );
  const here = new Channel<string>(
    (message) => {
      if (state.standsStill) unheard.push(message);
      else there.receive(message);
    },
    () => null,
  );
  return {
    attended: new Attended(here, time),
    asked,
    here,
    /** Second after second. */
    async pass(seconds: number) {
      for (let second = 0; second < seconds; second += 1) {
        await soon();
        time.advance(1_000);
      }
      await soon();
    },
    stop: () => {
      state.standsStill = true;
    },
    async goOn() {
      state.standsStill = false;
      for (const message of unheard.splice(0)) there.receive(message);
      await soon();
    },
  };
}

/** What became of it by now. */
function followed(answer: Promise<unknown>) {
  const seen: { is: unknown } = { is: "open" };
  answer.then(
    (value) => {
      seen.is = value;
    },
    (error: Error) => {
      seen.is = error.name;
    },
  );
  return seen;
}

test("an answer that takes its time is waited for, as long as there are signs of life", async () => {
  const slow = Promise.withResolvers<unknown>();
  const { attended, pass } = twoProcesses(() => slow.promise);
  const answer = followed(attended.ask("upgrade"));
  await pass(300);
  expect(answer.is).toBe("open");
  slow.resolve("done");
  await soon();
  expect(answer.is).toBe("done");
});

test("one that stands still is not waited for, nor asked more, until it goes on", async () => {
  const { attended, asked, pass, stop, goOn } = twoProcesses((question) => question);
  stop();
  const answers = ["a", "b"].map((question) => followed(attended.ask(question)));
  await pass(4);
  expect(answers).toEqual([{ is: "open" }, { is: "open" }]);
  await pass(3);
  expect(answers).toEqual([{ is: "SilentError" }, { is: "SilentError" }]);
  const late = attended.ask("c");
  await expect(late).rejects.toMatchObject({ name: "SilentError", wasAsked: false });

  await goOn();
  expect(asked).toEqual(["a", "b"]);
  expect(await attended.ask("d")).toBe("d");
  await pass(3);
  stop();
  const again = followed(attended.ask("e"));
  await pass(8);
  expect(again.is).toBe("SilentError");
});

test("one that stops in the middle is noticed, one that has gone at once", async () => {
  const { attended, here, pass, stop, goOn } = twoProcesses(() => new Promise(() => {}));
  const answer = followed(attended.ask("a"));
  await pass(100);
  stop();
  await pass(8);
  expect(answer.is).toBe("SilentError");
  await goOn();
  const other = followed(attended.ask("b"));
  here.close();
  await soon();
  expect(other.is).toBe("ChannelError");
});

test("a version before, which does not understand the question, gives a sign of life by that", async () => {
  const time = new VirtualTime();
  const attended = new Attended<string>(
    {
      ask: () => new Promise(() => {}),
      there: () => Promise.reject(new Error("not understood")),
    },
    time,
  );
  const answer = followed(attended.ask("a"));
  for (let second = 0; second < 100; second += 1) {
    await soon();
    time.advance(1_000);
  }
  expect(answer.is).toBe("open");
});
