/** llama.cpp's own sleep: what lmproxy asks must not keep the engine awake, and a request wakes it. */
import { untilHealthy } from "../../test/support/until-healthy.ts";
import { Engine } from "./engine.ts";
import { startExecutable } from "./executable.ts";
import type { Kind } from "./kinds.ts";
import type { Row } from "./report.ts";

const SLEEP_AFTER_S = 3;
const LIMIT_MS = 20_000;

export async function trySleep(kind: Kind, folder: string, executable: string): Promise<Row[]> {
  await using engine = await Engine.start(kind, folder, { sleepAfterS: SLEEP_AFTER_S });
  // Asked far more often than by default.
  const often = ["--health-interval", "0.5", "--metrics-interval", "0.5"];
  await using proxy = await startExecutable(executable, ["--node", engine.url, ...often]);
  await untilHealthy(proxy);
  const sleeps = await untilAsleep(engine);
  const startMs = performance.now();
  const answer = await fetch(`${proxy.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "tiny",
      messages: [{ role: "user", content: "Hi" }],
      max_tokens: 4,
    }),
  });
  await answer.bytes();
  const woken = `a request to it: ${answer.status} after ${(performance.now() - startMs).toFixed(0)} ms`;
  const again = await untilAsleep(engine);
  const seen = (asleep: boolean) => (asleep ? "asleep" : "never asleep");
  return [
    {
      ...{ part: "sleep", kind: kind.name, what: `told to sleep after ${SLEEP_AFTER_S} s` },
      verdict: sleeps && again && answer.status === 200 ? "good" : "bad",
      seen: `asked for its health and gauges every 0.5 s: ${seen(sleeps)}; ${woken}; then ${seen(again)}`,
    },
  ];
}

async function untilAsleep({ url }: Engine): Promise<boolean> {
  const endMs = performance.now() + LIMIT_MS;
  while (performance.now() < endMs) {
    const props = Object(await (await fetch(`${url}/props`)).json());
    if (props.is_sleeping === true) return true;
    await Bun.sleep(200);
  }
  return false;
}
