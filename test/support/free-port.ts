/** Lower than those that the kernel gives to whoever wants any, on Linux and elsewhere. */
const LOWEST = 10_000;
const HIGHEST = 32_000;

/**
 * A port of 127.0.0.1 that nobody listens on, for what is to listen there later, or again: nobody who
 * asks the kernel for any port, or connects somewhere, gets it meanwhile.
 */
export function freePort(): number {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      // Somebody has it.
    }
  }
}
