/**
 * Draws docs/img/live.png, the picture of the live page in the README: `bun scripts/picture.ts`. Takes
 * a quarter of an hour, so that its lines are full: the demo's three engines and five more answer real
 * requests all that time, one of them slowly; then one is killed and one drained.
 */
import { join } from "node:path";
import { Program } from "../test/commands/program.ts";
import { findChromium, startChromium } from "../test/support/chromium.ts";
import { until } from "../test/support/until.ts";

const TARGET = join(import.meta.dir, "../docs/img/live.png");
const MINUTES = Number(process.argv[2] ?? 15);
const MODELS = ["internlm2-chat-7b", "qwen3-32b"];
const MORE = ["1", "1", "1", "1", "2.5"];
const JSON_BODY = { "content-type": "application/json" };
const SIZE = { width: 1280, height: 560, deviceScaleFactor: 1, mobile: false };

const chromium = findChromium();
if (chromium === null) throw new Error("install chromium, or name one in $CHROME");
await using demo = new Program(["demo", "--port", "0", "--engine-port", "0"]);
await demo.until(/Ctrl-C stops all of it/);
const [, url = ""] = await demo.until(/^docs +(\S+)\/docs$/m);
const engines = MORE.map((scale, at) => {
  const model = ["--model", MODELS[at % 2] ?? ""];
  const place = ["--port", "0", "--proxy-url", url, "--time-scale", scale];
  return new Program(["engine", ...model, ...place]);
});

async function post(path: string, body: object): Promise<Response> {
  return await fetch(url + path, {
    method: "POST",
    headers: JSON_BODY,
    body: JSON.stringify(body),
  });
}

async function nodes(): Promise<string[]> {
  return Object.keys(Object(await (await fetch(`${url}/nodes/status`)).json()));
}

await until("all engines are there", async () => (await nodes()).length === 3 + MORE.length);
for (const [at, node] of (await nodes()).entries()) {
  const name = at < 3 ? `demo-${at + 1}` : `h100-0${at - 2}`;
  await post("/nodes/add", { url: node, name });
}

let isOver = false;
/** Somebody who asks, reads, thinks and asks again; at noon more do than at night. */
async function client(number: number): Promise<void> {
  for (let turn = 0; !isOver; turn += 1) {
    const words = 5 + ((number * 7 + turn * 13) % 400);
    const answer = await post("/v1/chat/completions", {
      model: MODELS[(number + turn) % 3 === 0 ? 1 : 0],
      messages: [{ role: "user", content: `${number} ${turn} `.repeat(words) }],
      max_tokens: 100 + ((number * 31 + turn * 17) % 900),
      ignore_eos: true,
      stream: true,
    }).catch(() => null);
    await answer?.text().catch(() => {});
    const tide = 1.2 + Math.sin(performance.now() / 90_000 + number / 9);
    await Bun.sleep(500 + 4_000 * tide * Math.random());
  }
}

const clients = Array.from({ length: 24 }, (_, number) => client(number));
await Bun.sleep(MINUTES * 60_000 - 20_000);
engines[2]?.kill("SIGKILL");
await post("/nodes/drain", { url: (await nodes())[1] });
await Bun.sleep(20_000);
await using browser = await startChromium(chromium);
const page = await browser.open(url);
await page.send("Emulation.setDeviceMetricsOverride", SIZE);
await page.send("Emulation.setScrollbarsHidden", { hidden: true });
await until("the page is drawn", () => page.evaluate("document.querySelector('tr.node') !== null"));
await Bun.sleep(2_500);
await Bun.write(TARGET, await page.screenshot());
console.log(`${TARGET} written, ${Bun.file(TARGET).size} bytes`);
isOver = true;
await Promise.all(clients);
for (const engine of engines) engine.kill("SIGKILL");
demo.kill("SIGINT");
await demo.finished();
