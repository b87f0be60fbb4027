/** What may be changed of an engine while it runs: what is misspelt changes nothing, and is said. */
import { expect, test } from "bun:test";
import { change, engineStarter } from "./running.ts";

const start = engineStarter();

test.each([
  [{ paec: 0 }, "paec is no member here; did you mean pace?"],
  [{ pace: 0, speed: 1 }, "speed is no member here; there are models, health, pace, dead"],
  [{ health: "ill" }, "health must be healthy, sleeping, initializing, unhealthy or empty"],
  [{ models: [] }, "models must be a list of names, not empty"],
  [{ pace: "0" }, "pace must be a number, 1 for as ever, 0 for not at all"],
  [[], "the body is a JSON object of models, health, pace, dead"],
])(
  "a change that it does not know is refused, and nothing is changed: %j",
  async (changes, message) => {
    const engine = await start();
    expect(await change(engine.url, changes)).toEqual([400, { error: { message } }]);
    expect(await change(engine.url, {})).toEqual([200, { models: ["tiny"], health: "healthy" }]);
  },
);
