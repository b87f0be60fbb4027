/**
 * Records what a real engine answers to the requests to which the simulated one is held:
 *   bun scripts/engines/record.ts http://127.0.0.1:PORT > test/sim/server/recorded/lmdeploy-0.18.0.json
 * The engine serves the model `tiny` and generates at least four tokens when it may.
 */
import { ask, REQUESTS } from "../../test/sim/server/recorded/exchanges.ts";

const [url = ""] = process.argv.slice(2);
const recorded: unknown[] = [];
for (const asked of REQUESTS) recorded.push({ asked, answer: await ask(url, asked) });
console.log(JSON.stringify(recorded, null, 1));
