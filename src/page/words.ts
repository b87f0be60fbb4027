/** Figures and names as people read them. Pure. */

/** What engines and clients chose is shown as it is, but for what would turn or hide text around it. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\u{fffd}");
}

/** A duration in the unit that is read fastest. */
export function duration(ms: number): string {
  const s = Math.max(ms, 0) / 1_000;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7_200) return `${Math.round(s / 60)} min`;
  return s < 172_800 ? `${Math.round(s / 3_600)} h` : `${Math.round(s / 86_400)} d`;
}

/** A time of day, here where the page is looked at. @param ms Since 1970. */
export function clockTime(ms: number): string {
  return new Date(ms).toLocaleTimeString("en-GB");
}

/** A latency: it may be a few ms. */
export function latency(ms: number): string {
  if (ms < 10) return `${Number(ms.toPrecision(2))} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 1_000)} s`;
}

export function bytes(count: number): string {
  if (count < 1_000) return `${count} B`;
  return count < 1_000_000
    ? `${Number((count / 1_000).toPrecision(2))} kB`
    : `${Number((count / 1_000_000).toPrecision(2))} MB`;
}

export function percent(fraction: number): string {
  return `${Math.round(100 * fraction)} %`;
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** Without what nearly all of them begin with. */
export function withoutScheme(url: string): string {
  return url.replace(/^http:\/\//, "");
}
