/** A real Prometheus, where there is one. */
import { join } from "node:path";
import { freePort } from "./free-port.ts";

export interface Watched {
  /** Host and port of a `/metrics`. */
  readonly target: string;
  /** Its label `instance`; the target unless given. */
  readonly instance?: string;
}

export interface PrometheusOptions {
  /** Where it keeps what it needs. */
  readonly folder: string;
  readonly watched: readonly Watched[];
  /** Between two scrapes, and two looks at the rules, as Prometheus writes it. */
  readonly interval: string;
  /** A file of rules. */
  readonly rules?: string;
}

/** Starts it; its API is at `url`. */
export async function startPrometheus(options: PrometheusOptions) {
  const { folder, watched, interval, rules } = options;
  const config = join(folder, "prometheus.yaml");
  const port = freePort();
  const scrape = {
    job_name: "lmproxy",
    static_configs: watched.map(({ target, instance = target }) => ({
      targets: [target],
      labels: { instance },
    })),
  };
  const global = {
    scrape_interval: interval,
    scrape_timeout: interval,
    evaluation_interval: interval,
  };
  // JSON is YAML.
  await Bun.write(
    config,
    JSON.stringify({
      global,
      scrape_configs: [scrape],
      ...(rules === undefined ? {} : { rule_files: [rules] }),
    }),
  );
  const child = Bun.spawn({
    cmd: [
      Bun.which("prometheus") ?? "",
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=error",
    ],
    stdout: "ignore",
    stderr: "ignore",
  });
  return { url: `http://127.0.0.1:${port}`, stop: () => child.kill("SIGKILL") };
}
