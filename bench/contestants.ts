import { existsSync, statSync } from "node:fs";
import { join } from "node:path";

/** What one run of a contestant is given. */
export interface Place {
  /** Port to listen on, on 127.0.0.1. */
  port: number;
  /** URLs of the nodes, without a trailing slash. */
  nodes: readonly string[];
  /** A directory of its own, removed after the run. */
  directory: string;
}

export interface Contestant {
  name: string;
  title: string;
  /** Its settings in words, and why they are its best. */
  settings: string;
  /** Its version; an Error says why it is absent. */
  version(): Promise<string | Error>;
  /** Writes its configuration and returns its command line and environment. */
  prepare(place: Place): Promise<{ command: string[]; env?: Record<string, string> }>;
  /** True if answers come back byte for byte. */
  exactBytes: boolean;
  /** Can be told of nodes that serve another model, and keeps them under watch. */
  watchesNodes: boolean;
  /** lmproxy, the reference and the floor of the platform: they do every work. */
  isCoreField?: boolean;
  /** True for lmproxy, also for another build of it. */
  isBuild?: boolean;
  /** Takes part in these works only; absent: in all. */
  onlyWorks?: readonly string[];
  /** Answers 200 as soon as it is up; `/health` unless it says otherwise. */
  healthPath?: string;
  /** How long it may take to its first forwarded answer. */
  startTimeoutMs: number;
}

const ROOT = join(import.meta.dir, "..");
const FIRST_LINE = /^.*$/m;

/** First line a command prints with its version flag, or why it is absent. */
export async function versionOf(
  command: string[],
  pattern: RegExp = FIRST_LINE,
): Promise<string | Error> {
  const [program = ""] = command;
  if (!Bun.which(program)) return new Error(`${program} is not installed`);
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", timeout: 30_000 });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return pattern.exec(out.trim() || err.trim())?.[0] ?? new Error(`${program} tells no version`);
}

/**
 * @param executable path of the built lmproxy
 * @param name another than `lmproxy` for another build in the same run
 */
export function lmproxyContestant(
  executable = join(ROOT, "lmproxy"),
  name = "lmproxy",
  strategy = "random",
): Contestant {
  return {
    name,
    title: name === "lmproxy" ? name : `lmproxy, build ${name}`,
    settings:
      "the compiled executable with its defaults: health probes, metrics polling, accounting, request ids all on; `random` strategy as the others' round robin; logs of errors only, as the others",
    async version() {
      if (!existsSync(executable)) return new Error(`no executable ${executable}: bun run build`);
      const version = await versionOf([executable, "--version"]);
      const megabytes = (statSync(executable).size / 1e6).toFixed(0);
      return version instanceof Error ? version : `${version} (${megabytes} MB)`;
    },
    prepare: async ({ port, nodes }) => ({
      command: [
        executable,
        ...["--host", "127.0.0.1", "--port", String(port)],
        ...nodes.flatMap((node) => ["--node", node]),
        ...["--strategy", strategy, "--log-level", "error", "--disable-cache-status"],
      ],
    }),
    exactBytes: true,
    isCoreField: true,
    isBuild: true,
    watchesNodes: true,
    startTimeoutMs: 10_000,
  };
}

/** lmproxy with a router's command line, for who changes that one line. */
export function lmproxyAsRouter(executable = join(ROOT, "lmproxy")): Contestant {
  const { exactBytes, watchesNodes, startTimeoutMs, version } = lmproxyContestant(executable);
  return {
    name: "as-vllm-router",
    title: "lmproxy --as vllm-router",
    settings: "the command line of vllm-router: `--policy round_robin`, logs of errors only",
    version,
    prepare: async ({ port, nodes }) => ({
      command: [
        ...[executable, "--as", "vllm-router", "--host", "127.0.0.1", "--port", String(port)],
        ...["--worker-urls", ...nodes, "--policy", "round_robin", "--log-level", "error"],
        "--disable-cache-status",
      ],
    }),
    exactBytes,
    watchesNodes,
    startTimeoutMs,
  };
}

export const bare: Contestant = {
  name: "bare",
  title: "bare Bun pass-through",
  settings:
    "`Bun.serve` and `return fetch(…)`: native pipe, body read before it is sent, client's signal handed on, fetch limit lifted, no routing, no accounting",
  version: async () => `Bun ${Bun.version}`,
  prepare: async ({ port, nodes }) => ({
    command: [process.execPath, join(import.meta.dir, "bare-proxy.ts"), String(port), ...nodes],
    env: { BUN_CONFIG_MAX_HTTP_REQUESTS: "65535" },
  }),
  isCoreField: true,
  exactBytes: true,
  watchesNodes: false,
  startTimeoutMs: 10_000,
};

export const nginx: Contestant = {
  name: "nginx",
  title: "nginx",
  settings:
    "one worker; responses and requests unbuffered (a token must not wait, a large body need not); upstream keep-alive over HTTP/1.1 for as many connections as there are requests; no access log; connections never retired",
  version: () => versionOf(["nginx", "-v"], /nginx\/\S+/),
  prepare: (place) => prepareNginx(place, ""),
  isCoreField: true,
  exactBytes: true,
  watchesNodes: false,
  startTimeoutMs: 5_000,
};

/** The reference keeps its default, as most do; what it could do with large bodies stands beside it. */
export const nginxLargeBuffer: Contestant = {
  ...nginx,
  name: "nginx-256k",
  title: "nginx, 256 KB body buffer",
  settings:
    "as nginx, with `client_body_buffer_size 256k` instead of 16 KB: a large body is read in fewer, larger pieces",
  prepare: (place) => prepareNginx(place, "client_body_buffer_size 256k;"),
  onlyWorks: ["D", "F", "P/16", "P/128"],
};

async function prepareNginx(
  { port, nodes, directory }: Place,
  extra: string,
): Promise<{ command: string[] }> {
  const file = join(directory, "nginx.conf");
  await Bun.write(file, nginxConfiguration(port, nodes, directory, extra));
  return { command: ["nginx", "-e", join(directory, "error.log"), "-c", file] };
}

function nginxConfiguration(
  port: number,
  nodes: readonly string[],
  directory: string,
  extra: string,
): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `  ${kind}_temp_path ${join(directory, kind)};`)
    .join("\n");
  // Started by root, workers would change to a user who may not be able to read the directory.
  return `${process.getuid?.() === 0 ? "user root;" : ""}
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid ${join(directory, "nginx.pid")};
error_log ${join(directory, "error.log")} error;
events { worker_connections 16384; }
http {
${temporary}
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  ${extra}
  tcp_nodelay on;
  upstream nodes {
${nodes.map((node) => `    server ${new URL(node).host};`).join("\n")}
    keepalive 4096;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
`;
}

export const haproxy: Contestant = {
  name: "haproxy",
  title: "HAProxy",
  settings:
    "one thread; its usual streaming mode with `http-no-delay` (chunks go out at once); idle upstream connections shared by all clients (`http-reuse always`) and kept; round robin; no log",
  version: () => versionOf(["haproxy", "-v"], /\d+\.\d+\.\d+\S*/),
  async prepare({ port, nodes, directory }) {
    const file = join(directory, "haproxy.cfg");
    await Bun.write(file, haproxyConfiguration(port, nodes));
    return { command: ["haproxy", "-q", "-db", "-f", file] };
  },
  exactBytes: true,
  watchesNodes: false,
  startTimeoutMs: 5_000,
};

function haproxyConfiguration(port: number, nodes: readonly string[]): string {
  const servers = nodes.map((node, i) => `  server n${i} ${new URL(node).host} pool-max-conn -1`);
  return `global
  nbthread 1
  maxconn 8000
  tune.pool-low-fd-ratio 90
  tune.pool-high-fd-ratio 95
defaults
  mode http
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend front
  bind 127.0.0.1:${port} backlog 4096
  default_backend nodes
backend nodes
  balance roundrobin
${servers.join("\n")}
`;
}
