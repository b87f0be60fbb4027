/**
 * The simulated engine beside LMDeploy 0.18.0's own server (over a stand-in for the engine below it):
 * equal status, headers and bytes, but for ids, times, texts and what depends on a tokenizer.
 * `scripts/engines/record.ts` has recorded it, and says how to do it again.
 */
import { expect, test } from "bun:test";
import { ask, REQUESTS } from "./recorded/exchanges.ts";
import recorded from "./recorded/lmdeploy-0.18.0.json" with { type: "json" };
import { engineStarter } from "./running.ts";

const start = engineStarter();

test("every request of today has been recorded", () => {
  expect(recorded.map(({ asked }) => Object(asked))).toEqual([...REQUESTS]);
});

test.each(recorded.map(({ asked, answer }) => [asked.method, asked.path, asked, answer] as const))(
  "%s %s %j",
  async (_method, _path, asked, answer) => {
    const { url } = await start();
    expect(await ask(url, Object(asked))).toEqual(Object(answer));
  },
);
