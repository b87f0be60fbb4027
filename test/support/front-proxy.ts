/** nginx, HAProxy or Apache in front of a proxy, with their defaults; each from Debian's package. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { until } from "./until.ts";

export type FrontName = "nginx" | "haproxy" | "apache2";

export interface FrontProxy extends AsyncDisposable {
  readonly url: string;
}

/** The path of a server's program; null when it is not installed. */
export function findFront(name: FrontName): string | null {
  // Debian puts them where not every PATH leads.
  return Bun.which(name, { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` });
}

interface Place {
  readonly folder: string;
  readonly port: number;
  readonly backendPort: number;
}

const CONFIGS: Readonly<Record<FrontName, (place: Place) => string>> = {
  nginx: ({ folder, port, backendPort }) => `
daemon off;
pid ${folder}/pid;
error_log stderr;
events {}
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((what) => `${what}_temp_path ${folder}/${what};`).join("\n  ")}
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://127.0.0.1:${backendPort}; }
  }
}
`,
  haproxy: ({ port, backendPort }) => `
defaults
  mode http
  timeout connect 5s
  timeout check 10s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:${port}
  default_backend engines
backend engines
  option httpchk
  option forwardfor
  server proxy 127.0.0.1:${backendPort} check inter 100ms
`,
  apache2: ({ folder, port, backendPort }) => `
ServerRoot ${folder}
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
PidFile ${folder}/pid
ErrorLog /dev/stderr
DefaultRuntimeDir ${folder}
Mutex file:${folder}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ProxyPass / http://127.0.0.1:${backendPort}/
`,
};

const COMMANDS: Readonly<Record<FrontName, (config: string) => readonly string[]>> = {
  nginx: (config) => ["-e", "stderr", "-c", config],
  haproxy: (config) => ["-db", "-f", config],
  apache2: (config) => ["-D", "FOREGROUND", "-f", config],
};

/** Starts it on a free port of 127.0.0.1, in front of `backendPort`; resolves when it lets a request through. */
export async function startFront(name: FrontName, backendPort: number): Promise<FrontProxy> {
  const program = findFront(name);
  if (program === null) throw new Error(`${name} is not installed`);
  const folder = await mkdtemp(join(tmpdir(), `lmproxy-${name}-`));
  await mkdir(join(folder, "logs"));
  const port = freePort();
  const config = join(folder, "config");
  await Bun.write(config, CONFIGS[name]({ folder, port, backendPort }));
  const child = Bun.spawn({
    cmd: [program, ...COMMANDS[name](config)],
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  const front = {
    url,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await until(`${name} lets a request through`, async () => {
      if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
      const answer = await fetch(`${url}/health`).catch(() => null);
      return answer?.status === 200;
    });
  } catch (error) {
    await front[Symbol.asyncDispose]();
    throw error;
  }
  return front;
}
