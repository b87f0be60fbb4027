#!/usr/bin/env bash
# Bun 1.4.5: `server.timeout(request, seconds)` and `socket.timeout(seconds)` end what is idle after the next
# multiple of four seconds: 1 is 4, 5 is 8, 9 is 12.
#
# Expected: after so many seconds, give or take a fraction, as the documentation's "number of seconds" reads.
# Seen on Linux x86-64: 4.0, 8.0 and 12.0 s, the same each time. Its sockets' timers tick every four seconds.
# Whoever wants an idle connection gone after five, as uvicorn has it, needs a timer of his own.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true, "dependencies": {"bun": "1.4.5"}}' >package.json
npm install --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
bun=$(echo "$folder"/node_modules/@oven/bun-*/bin/bun | tr ' ' '\n' | while read -r one; do
  "$one" --version >/dev/null 2>&1 && echo "$one" && break
done)

cat >idle.ts <<'TS'
const SECONDS = [1, 5, 9];

/** What has passed since this was called, in whole seconds, when the function it gives is. */
function watch(): () => number {
  const startedMs = performance.now();
  return () => Math.round((performance.now() - startedMs) / 1_000);
}

/** When an answer that never comes is given up. */
function answerEnds(seconds: number): Promise<number> {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request, server) {
      server.timeout(request, seconds);
      return new Promise<Response>(() => {});
    },
  });
  return fetch(server.url, { keepalive: false }).then(() => -1, watch());
}

/** When an idle connection is said to be so. */
function connectionEnds(seconds: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const passed = watch();
  const listener = Bun.listen({
    port: 0,
    hostname: "127.0.0.1",
    socket: { open: (s) => void s.timeout(seconds), data() {}, timeout: () => resolve(passed()) },
  });
  void Bun.connect({ hostname: "127.0.0.1", port: listener.port, socket: { data() {} } });
  return promise;
}

for (const [name, ends] of [["server.timeout", answerEnds], ["socket.timeout", connectionEnds]] as const) {
  const times = await Promise.all(SECONDS.map((seconds) => ends(seconds)));
  console.log(`${name}: ${SECONDS.map((s, i) => `${s} s are ${times[i]} s`).join(", ")}`);
  if (times.join() !== "4,8,12") process.exit(1);
}
process.exit(0);
TS

echo "bun $("$bun" --version)"
timeout 60 "$bun" idle.ts
