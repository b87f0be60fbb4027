/** Writes docs/openapi.json: what a proxy serves at /openapi.json. Run it when routes or their description change. */
import { join } from "node:path";
import { parseServeConfig } from "../src/config/serve-config.ts";
import { startProxy } from "../src/proxy/start.ts";

const FLAGS = ["--host", "127.0.0.1", "--port", "0"];
const TARGET = join(import.meta.dir, "../docs/openapi.json");

const parsed = parseServeConfig(FLAGS, {}, () => "");
if (parsed.help !== null) throw new Error("no configuration");
const proxy = await startProxy(parsed.config);
const answer = await fetch(`${proxy.url}/openapi.json`);
if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
const document = `${JSON.stringify(await answer.json(), null, 2)}\n`;
const existing = Bun.file(TARGET);
const isNew = !(await existing.exists()) || (await existing.text()) !== document;
if (isNew) await Bun.write(TARGET, document);
console.log(isNew ? "docs/openapi.json written" : "docs/openapi.json was up to date");
await proxy.stop();
