/** Lower than those that the kernel gives to whoever wants any, on Linux and elsewhere. */
const LOWEST = 10_000;
const HIGHEST = 32_000;
/** Test processes that run side by side, each with ports of its own. */
const PROCESSES = 4;
const ITS_OWN = (HIGHEST - LOWEST) / PROCESSES;
const FIRST = LOWEST + (Number(process.env["BUN_TEST_WORKER_ID"] ?? 0) % PROCESSES) * ITS_OWN;
/** Given to somebody who may not listen there yet. */
const given = new Set<number>();

/**
 * A port of 127.0.0.1 that nobody listens on, for what is to listen there later, or again: nobody who
 * asks the kernel for any port, or connects somewhere, gets it meanwhile.
 */
export function freePort(): number {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * ITS_OWN);
    if (given.has(port)) continue;
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      given.add(port);
      return port;
    } catch {
      // Somebody has it.
    }
  }
}
