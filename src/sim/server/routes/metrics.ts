/** GET /metrics, and the lies it tells when a fault asks for them. */
import { type Answer, textAnswer } from "../answer.ts";
import type { Call } from "../call.ts";
import type { Engine } from "../engine.ts";
import { notServed } from "../errors.ts";
import type { Fault } from "../faults.ts";
import { metricsText } from "../metrics-text.ts";

const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export function metrics(engine: Engine, call: Call): Answer {
  if (!engine.settings.hasMetrics) return notServed(404);
  if (call.fault?.kind === "metrics") return lying(engine, call.fault);
  return textAnswer(engine.metricsText(), CONTENT_TYPE);
}

function lying(engine: Engine, { lie }: Extract<Fault, { kind: "metrics" }>): Answer {
  switch (lie) {
    case "nan":
      return textAnswer(metricsText(engine.metricsSource(), "NaN"), CONTENT_TYPE);
    case "infinite":
      return textAnswer(metricsText(engine.metricsSource(), "+Inf"), CONTENT_TYPE);
    case "negative":
      return textAnswer(metricsText(engine.metricsSource(), "-0.5"), CONTENT_TYPE);
    case "above-one":
      return textAnswer(metricsText(engine.metricsSource(), "7.5"), CONTENT_TYPE);
    case "garbage":
      return textAnswer('lmdeploy:gpu_cache_usage_perc{engine="0 \u0000 {{{ 0.5e\n\r\n# TYPE\n');
    case "million-series":
      return { status: 200, headers: { "content-type": CONTENT_TYPE }, body: millionSeries() };
  }
}

async function* millionSeries(): AsyncGenerator<string, void> {
  for (let start = 0; start < 1_000_000; start += 1_000) {
    let text = "";
    for (let i = start; i < start + 1_000; i += 1) {
      text += `lmdeploy:gpu_cache_usage_perc{model_name="m${i}",engine="${i}"} 0.5\n`;
    }
    yield text;
  }
}
