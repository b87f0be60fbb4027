/** How long a condition may take to come true before the test fails, ms: far above what it needs. */
const LIMIT_MS = 45_000;
const POLL_MS = 10;

/** Waits until `check` gives something other than undefined, null or false, and returns it. */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadlineMs = performance.now() + LIMIT_MS;
  for (;;) {
    const value = await check();
    if (isThere(value)) return value;
    if (performance.now() > deadlineMs) throw new Error(`waited in vain until ${what}`);
    await new Promise((resume) => setTimeout(resume, POLL_MS));
  }
}

function isThere<T>(value: T): value is NonNullable<Exclude<T, false>> {
  return value !== undefined && value !== null && value !== false;
}
