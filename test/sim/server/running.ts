/** Engines that a test has started, stopped again. */
import { afterAll, afterEach } from "bun:test";
import { startEngine } from "../../../src/sim/server/api-server.ts";
import type { EngineOptions, RunningEngine } from "../../../src/sim/server/engine-options.ts";
import { until as untilThere } from "../../support/until.ts";

/**
 * A `start` that serves the model "tiny" unless told otherwise; call it at the top of a test file.
 * @param until Engines stop after the test, or, where tests run side by side, after all of them.
 */
export function engineStarter(
  until: "each" | "all" = "each",
): (options?: Partial<EngineOptions>) => Promise<RunningEngine> {
  const running: RunningEngine[] = [];
  const stop = async () => {
    await Promise.all(running.splice(0).map((engine) => engine.stop(true)));
  };
  if (until === "each") afterEach(stop);
  else afterAll(stop);
  return async (options = {}) => {
    const engine = await startEngine({ models: ["tiny"], ...options });
    running.push(engine);
    return engine;
  };
}

/** A message of one word, as a chat has it. */
export const HI = [{ role: "user" as const, content: "hi" }];

/** Posts a body as JSON; an object is for the model "tiny" unless it names one. */
export function post(url: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  const isObject = typeof body === "object" && !Array.isArray(body);
  return fetch(url, {
    method: "POST",
    body: JSON.stringify(isObject ? { model: "tiny", ...body } : body),
    ...init,
    headers: { "content-type": "application/json", ...init.headers },
  });
}

/** Resolves when `condition` holds; fails with its text when it never does. */
export async function until(condition: () => boolean): Promise<void> {
  await untilThere(`${condition}`, condition);
}

/** What an engine says to a change of itself. */
export async function change(
  url: string,
  changes: unknown,
): Promise<[status: number, answer: unknown]> {
  const body = JSON.stringify(changes);
  const answer = await fetch(`${url}/debug/set`, { method: "POST", body });
  return [answer.status, await answer.json()];
}
