/** The rules as they are shipped, in shorter times. */

/** So many times shorter. */
export const SCALE = 60;
/** No alert waits for longer, s. */
const LONGEST_FOR_S = 10;
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** Ranges, `for:` and thresholds that are times of open requests. */
export function scaled(rules: string): string {
  return rules
    .replaceAll(/\[(\d+)([smhd])\]/g, (_, count, unit) => `[${shorter(count, unit)}ms]`)
    .replaceAll(/for: (\d+)([smhd])/g, (_, count, unit) => {
      return `for: ${Math.min(shorter(count, unit), LONGEST_FOR_S * 1_000)}ms`;
    })
    .replaceAll(/(oldest_request_seconds > )(\d+)/g, (_, name, count) => name + count / SCALE);
}

function shorter(count: string, unit: string): number {
  return Math.ceil((Number(count) * (SECONDS[unit] ?? 1) * 1_000) / SCALE);
}

/** The names of all alerts. */
export function alertsOf(rules: string): string[] {
  return [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => name);
}
