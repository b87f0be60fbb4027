/** Simulated engines in one process, for `bench/trace.ts`: prints their URLs as JSON, runs until it is killed. */
import { ENGINES, speedOf } from "../src/lab/engines.ts";
import { startEngine } from "../src/sim/server/api-server.ts";

const [model = "", timeScale = "1", speeds = "1"] = process.argv.slice(2);
const params = ENGINES[model];
if (params === undefined) throw new Error(`no engine ${model}`);
const engines = await Promise.all(
  speeds.split(",").map((speed) =>
    startEngine({
      models: ["m"],
      params: { ...params, ...speedOf(params, Number(speed)) },
      timeScale: Number(timeScale),
      rememberedRequests: 1,
    }),
  ),
);
console.info(JSON.stringify(engines.map(({ url }) => url)));
