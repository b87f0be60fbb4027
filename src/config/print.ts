/** What `--print-config` shows: a line for each flag with its value and where that came from. */
import { type Flag, flagName, type Source } from "./flag.ts";
import type { Config } from "./schema.ts";
import { SERVE_FLAGS } from "./serve-flags.ts";

/** Keys are masked. Ends with a newline. */
export function showConfig(config: Config, sources: ReadonlyMap<string, Source>): string {
  const rows = shownFlags(config).map(({ name, key, value }) => [
    name,
    value,
    sourceOf(sources, key),
  ]);
  if (config.traces !== null) {
    const { to, sampler, protocol } = config.traces;
    rows.push(["traces", `${sampler} to ${to} by ${protocol}`, sourceOf(sources, "traces")]);
  }
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(([name = "", value = "", source]) => {
      return `${name.padEnd(widths[0] ?? 0)}  ${value.padEnd(widths[1] ?? 0)}  ${source}\n`;
    })
    .join("");
}

/** Each flag as it is typed, with its value as text; keys are masked. */
export function shownFlags(config: Config): { name: string; key: string; value: string }[] {
  const values = new Map<string, unknown>(Object.entries(config));
  const rows = SERVE_FLAGS.filter((flag) => values.has(flag.key)).map((flag) => ({
    name: flagName(flag),
    key: flag.key,
    value: showValue(flag, values.get(flag.key)),
  }));
  const { keyPath = "not set", certPath = "not set" } = config.tls ?? {};
  const tls = [
    { name: "--tls-key", key: "tls", value: keyPath },
    { name: "--tls-cert", key: "tls", value: certPath },
  ];
  return rows.toSpliced(2, 0, ...tls);
}

function showValue(flag: Flag, value: unknown): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return "none";
    return value.map((item) => showValue(flag, item)).join(" ");
  }
  if (value === null) return "not set";
  if (flag.isSecret) return "***";
  if (flag.argument === null) return value === flag.sets ? "on" : "off";
  return flag.kind.show(value);
}

function sourceOf(sources: ReadonlyMap<string, Source>, key: string): string {
  const source = sources.get(key);
  return source === undefined || source.kind === "default"
    ? "default"
    : `${source.kind} ${source.name}`;
}
