/** GET /metrics: the gauges by which a proxy judges load, in the words of three engines. */
import { type Answer, EngineRefusal, textAnswer } from "../answer.ts";
import type { Engine } from "../engine.ts";
import type { ModelStats } from "../model-types.ts";

export function metricsText(engine: Engine): string {
  const model = (engine.models[0] ?? "").replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n");
  const lines: string[] = [];
  const add = (name: string, help: string, pick: (stats: ModelStats) => number) => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
    engine.stats().forEach((stats, rank) => {
      lines.push(`${name}{engine="${rank}",model_name="${model}"} ${pick(stats)}`);
    });
  };
  add("lmdeploy:num_requests_running", "Requests in the batch.", (stats) => stats.running);
  add("lmdeploy:num_requests_waiting", "Requests that wait.", (stats) => stats.waiting);
  add("lmdeploy:gpu_cache_usage_perc", "KV-cache usage, 1 is full.", (stats) => stats.usage);
  return `${lines.join("\n")}\n`;
}

export function metrics(engine: Engine): Answer {
  if (!engine.settings.hasMetrics) throw new EngineRefusal(404, "Not Found");
  return textAnswer(metricsText(engine), "text/plain; version=0.0.4; charset=utf-8");
}
