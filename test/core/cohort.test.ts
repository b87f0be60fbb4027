import { expect, test } from "bun:test";
import { Cohort } from "../../src/core/cohort.ts";

/** All that follows by itself has happened then. */
const turn = () => new Promise<void>((resume) => setImmediate(resume));

/** What is to happen once all that has arrived has had its turn, by hand. */
function turns() {
  const soon: (() => void)[] = [];
  return {
    soon: (act: () => void) => void soon.push(act),
    /** Ends the turn: what follows from one of them happens before the next, as in the event loop. */
    async end() {
      for (const act of soon.splice(0)) {
        act();
        await turn();
      }
    },
  };
}

test("whoever joins in one turn goes on with its end, stage by stage, first come first", async () => {
  const { soon, end } = turns();
  const cohort = new Cohort(soon);
  const stages: string[] = [];
  const pass = async (name: string) => {
    await cohort.join();
    stages.push(`${name} begins`);
    await null;
    stages.push(`${name} goes on`);
  };
  const both = [pass("a"), pass("b")];
  await turn();
  expect(stages).toEqual([]);
  await end();
  await Promise.all(both);
  expect(stages).toEqual(["a begins", "b begins", "a goes on", "b goes on"]);
});

test("whoever comes later waits for the end of a turn of its own", async () => {
  const { soon, end } = turns();
  const cohort = new Cohort(soon);
  const gone: string[] = [];
  const pass = async (name: string) => {
    await cohort.join();
    gone.push(name);
  };
  const first = pass("a").then(() => pass("a again"));
  await end();
  const second = pass("b");
  await turn();
  expect(gone).toEqual(["a"]);
  await end();
  await Promise.all([first, second]);
  expect(gone).toEqual(["a", "a again", "b"]);
});
