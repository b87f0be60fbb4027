/** The executable, built as `bun run build` does and run as a user would. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json";
import { ROOT } from "../../scripts/build.ts";
import { startEngine } from "../../src/sim/server/api-server.ts";
import { startCollector } from "../support/collector.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

const BUILD_TIMEOUT_MS = 60_000;

let folder = "";
let executable = "";

async function run(...argv: readonly string[]) {
  const child = Bun.spawn([executable, ...argv], { cwd: folder, stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { out, err, code };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lmproxy-build-"));
  executable = join(folder, "lmproxy");
  const build = Bun.spawn(
    [process.execPath, join(ROOT, "scripts/build.ts"), "--outfile", executable],
    {
      stdout: "ignore",
      stderr: "inherit",
    },
  );
  if ((await build.exited) !== 0) throw new Error("the build failed");
  // What lies in the directory it is started in must not reach into it.
  await Bun.write(join(folder, ".env"), "LMPROXY_PORT=4321\n");
  await Bun.write(join(folder, "bunfig.toml"), 'preload = ["./missing.ts"]\n');
}, BUILD_TIMEOUT_MS);

afterAll(async () => {
  await rm(folder, { recursive: true });
});

test("--version names the version of package.json", async () => {
  expect(await run("--version")).toEqual({ out: `lmproxy ${version}\n`, err: "", code: 0 });
});

test("every command is inside", async () => {
  expect((await run("--help")).out).toContain("lmproxy [command] [flags]");
  for (const command of ["serve", "engine", "demo", "nodes", "openapi"]) {
    const { out, err, code } = await run(command, "--help");
    expect({ err, code }).toEqual({ err: "", code: 0 });
    expect(out).toContain(`Usage: lmproxy ${command}`);
  }
});

test("the OpenAPI document is inside", async () => {
  const { out, code } = await run("openapi");
  expect(code).toBe(0);
  expect(JSON.parse(out)).toHaveProperty(["paths", "/v1/chat/completions"]);
});

test("the pages are inside, with all that they are made of", async () => {
  await using proxy = await startProxy([], { command: [executable] });
  for (const path of ["/", "/docs"]) {
    const page = await fetch(proxy.url + path, { headers: { accept: "text/html" } });
    const html = await page.text();
    const parts = [...html.matchAll(/(?:src|href)="(\/(?:live|docs)\/[^"]+)"/g)];
    expect(parts.length).toBeGreaterThan(2);
    for (const [, part = ""] of parts) {
      const answer = await fetch(proxy.url + part);
      expect([part, answer.status]).toEqual([part, 200]);
      expect((await answer.text()).length).toBeGreaterThan(100);
    }
  }
});

test(".env and bunfig.toml of the working directory have no effect", async () => {
  const { out, code } = await run("serve", "--print-config");
  expect(code).toBe(0);
  expect(out).toMatch(/^--port +8000 +default$/m);
});

test("the demo starts its processes from the executable, answers and stops them", async () => {
  const { out, err, code } = await run("demo", "--once", "--port", "0", "--engine-port", "0");
  expect({ err, code }).toEqual({ err: "", code: 0 });
  expect(out.match(/healthy/g)).toHaveLength(3);
  const url = /^docs +(\S+)\/docs$/m.exec(out)?.[1] ?? "";
  await expect(fetch(`${url}/health`)).rejects.toThrow();
});

test("it sends traces, which are loaded only then", async () => {
  await using collector = startCollector();
  const engine = await startEngine({ port: 0, models: ["m"] });
  await using proxy = await startProxy(["--node", engine.url], {
    command: [executable],
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: "20" },
  });
  await untilHealthy(proxy);
  const answer = await fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "m", prompt: "hi", max_tokens: 2 }),
  });
  expect(answer.status).toBe(200);
  await until("its spans have come", () => collector.requests.length > 0);
  const [sent] = collector.requests;
  expect(sent?.headers.get("content-type")).toBe("application/x-protobuf");
  expect(new TextDecoder().decode(sent?.body)).toContain("text_completion m");
  await engine.stop();
});
