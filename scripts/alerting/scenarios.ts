/** What goes wrong, and which alerts have to say so. */
import { rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Scenario, Stage } from "./stage.ts";

const BODY_BYTES = 1024 * 1024;

/**
 * @param folder For files.
 * @param tls Files of a certificate that is about to expire.
 */
export function scenarios(
  folder: string,
  tls: { key: string; certificate: string },
): readonly Scenario[] {
  return [...FAULTS, expiring(tls), unreadable(join(folder, "upstream-key"))];
}

const FAULTS: readonly Scenario[] = [
  { name: "healthy", engines: 4, load: 10, fires: [] },
  {
    name: "the proxy dies",
    engines: 1,
    load: 2,
    fires: ["LmproxyDown"],
    plant: ({ proxy }) => proxy.end("SIGKILL").then(() => {}),
  },
  {
    name: "one node of five is killed",
    engines: 5,
    load: 10,
    fires: ["LmproxyNodeDown"],
    plant: (stage) => kill(stage, 1),
  },
  {
    name: "two nodes of five are killed",
    engines: 5,
    load: 10,
    fires: ["LmproxyNodeDown", "LmproxyManyNodesDown"],
    plant: (stage) => kill(stage, 2),
  },
  {
    name: "a node that was added never comes up",
    engines: 2,
    load: 2,
    fires: ["LmproxyNodeNotUp"],
    plant: async ({ proxy }) => {
      const body = JSON.stringify({ url: "http://127.0.0.1:1" });
      const headers = { "content-type": "application/json" };
      await fetch(`${proxy.url}/nodes/add`, { method: "POST", headers, body });
    },
  },
  {
    name: "all nodes are killed",
    engines: 2,
    load: 10,
    fires: ["LmproxyNoHealthyNode", "LmproxyNodeDown", "LmproxyManyNodesDown", "LmproxyErrorRatio"],
    may: ["LmproxyRetryBudgetSpent"],
    plant: (stage) => kill(stage, 2),
  },
  {
    // It is taken out, and on trial answers too few to be judged by them.
    name: "one node is slow all the time",
    engines: 4,
    load: 20,
    fires: ["LmproxyNodeSlow"],
    may: ["LmproxyNodeFlapping"],
    plant: ({ engines }) => {
      engines[0]?.setFaults([{ fault: { kind: "slow", firstByteMs: 800 } }]);
    },
  },
  {
    name: "one node is slow now and then",
    engines: 4,
    load: 20,
    flags: ["--strategy", "round_robin"],
    fires: ["LmproxyNodeSlow"],
    may: ["LmproxyNodeFlapping", "LmproxyNodeDown"],
    plant: ({ engines }) => {
      const slow = { kind: "slow", firstByteMs: 800 } as const;
      engines[0]?.setFaults([{ fault: slow, probability: 0.2 }]);
    },
  },
  {
    name: "a request hangs in its middle",
    engines: 2,
    load: 0,
    fires: ["LmproxyNodeStuck"],
    plant: ({ engines, ask }) => {
      const hang = { kind: "hang", at: "body", afterBytes: 400 } as const;
      for (const engine of engines) engine.setFaults([{ fault: hang }]);
      void ask({ stream: true, max_tokens: 50 });
    },
  },
  {
    name: "a node flaps",
    engines: 4,
    load: 2,
    fires: ["LmproxyNodeFlapping"],
    plant: ({ engines, every }) => {
      let isWell = true;
      every(1_500, () => {
        isWell = !isWell;
        engines[0]?.setHealth(isWell ? "healthy" : "unhealthy");
      });
    },
  },
  {
    name: "engines' load cannot be read any more",
    engines: 2,
    load: 2,
    flags: ["--strategy", "min_cache_usage", "--metrics-interval", "1"],
    fires: ["LmproxySamplesStale"],
    plant: ({ engines }) => {
      const gone = { kind: "answer", status: 503 } as const;
      for (const engine of engines) engine.setFaults([{ fault: gone, path: "/metrics" }]);
    },
  },
  {
    name: "the queue fills",
    engines: 1,
    engine: { timeScale: 1 },
    load: 0,
    flags: ["--max-concurrency", "1", "--queue-size", "5", "--queue-timeout", "100"],
    fires: ["LmproxyQueueing"],
    plant: ({ ask }) => {
      const again = async (): Promise<void> => {
        for (;;) await ask({ max_tokens: 60, ignore_eos: true });
      };
      for (let i = 0; i < 6; i += 1) void again();
    },
  },
  {
    name: "every other answer of all engines is a 502",
    engines: 3,
    load: 40,
    fires: ["LmproxyRetryBudgetSpent", "LmproxyErrorRatio"],
    // They are out for it now and then.
    may: ["LmproxyNodeDown", "LmproxyManyNodesDown", "LmproxyNodeFlapping"],
    plant: ({ engines }) => {
      const bad = { kind: "answer", status: 502 } as const;
      for (const engine of engines) {
        engine.setFaults([{ fault: bad, path: "/v1/chat/completions", probability: 0.5 }]);
      }
    },
  },
  {
    name: "bodies fill their memory",
    engines: 1,
    load: 0,
    flags: ["--max-body", "1MiB", "--max-body-memory", "1MiB", "--body-timeout", "300"],
    fires: ["LmproxyBodyMemory"],
    plant: (stage) => {
      const { hostname, port } = new URL(stage.proxy.url);
      const client = connect(Number(port), hostname);
      client.on("error", () => {});
      client.write(
        `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`,
      );
      client.write("x".repeat(BODY_BYTES * 0.95));
      stage.ends.unshift(() => client.destroy());
    },
  },
  {
    name: "the event loop stands still",
    engines: 1,
    load: 2,
    fires: ["LmproxyLoopLag"],
    plant: ({ proxy, every }) => {
      every(400, () => {
        proxy.process.kill("SIGSTOP");
        setTimeout(() => proxy.process.kill("SIGCONT"), 250);
      });
    },
  },
  {
    name: "open files run out",
    engines: 1,
    load: 1,
    wrapper: ["sh", "-c", 'ulimit -n 100; exec "$0" "$@"'],
    fires: ["LmproxyFilesNear"],
    plant: (stage) => {
      const { hostname, port } = new URL(stage.proxy.url);
      for (let i = 0; i < 72; i += 1) {
        const client = connect(Number(port), hostname);
        client.on("error", () => {});
        client.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        stage.ends.unshift(() => client.destroy());
      }
    },
  },
  {
    name: "nobody reads the log",
    engines: 1,
    load: 2,
    wrapper: ["bash", "-c", 'exec "$0" "$@" 2> >(exec sleep 300)'],
    fires: ["LmproxyLogLinesLost"],
    plant: ({ ask, every }) => {
      const model = "none".repeat(128);
      every(50, () => {
        for (let i = 0; i < 20; i += 1) void ask({ model });
      });
    },
  },
];

async function kill({ engines }: Stage, count: number): Promise<void> {
  await Promise.all(engines.slice(0, count).map((engine) => engine.stop(true)));
}

function expiring({ key, certificate }: { key: string; certificate: string }): Scenario {
  return {
    name: "the certificate is about to expire",
    engines: 0,
    load: 0,
    flags: ["--tls-key", key, "--tls-cert", certificate],
    fires: ["LmproxyCertificateExpires"],
    isPlanted: true,
  };
}

function unreadable(keyFile: string): Scenario {
  writeFileSync(keyFile, "sk-engines");
  return {
    name: "a file of a reload is gone",
    engines: 1,
    load: 2,
    flags: ["--upstream-api-key", `@${keyFile}`],
    fires: ["LmproxyReloadFailed"],
    plant: ({ proxy }) => {
      rmSync(keyFile);
      proxy.process.kill("SIGHUP");
    },
  };
}
