/** What a clean clone does when the registry refuses or never answers: it says so, and how to go on. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmod, cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startRawServer } from "../support/raw-server.ts";

const ROOT = join(import.meta.dir, "../..");
/** Only what a machine has without Bun. */
const PATH = "/usr/bin:/bin";

const silence = startRawServer({ script: () => [], probes: {} });
const folder = await mkdtemp(join(tmpdir(), "lmproxy-clone-"));

afterAll(async () => {
  silence.stop();
  await rm(folder, { recursive: true });
});

/** A folder with what a clone has. */
async function makeClone(): Promise<string> {
  const clone = await mkdtemp(join(folder, "clone-"));
  for (const file of ["package.json", "bun.lock"]) await cp(join(ROOT, file), join(clone, file));
  return clone;
}

async function prepare(clone: string, path: string, registry: string) {
  const script = `set -eu; cd ${clone}; . ${ROOT}/scripts/lib/prepare.sh; prepare`;
  const child = Bun.spawn(["sh", "-c", script], {
    env: {
      PATH: path,
      HOME: clone,
      PATIENCE: "1",
      npm_config_registry: registry,
      BUN_INSTALL_CACHE_DIR: join(clone, "cache"),
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = await new Response(child.stderr).text();
  return { said, code: await child.exited };
}

describe.concurrent("the dependencies do not come, since the registry", () => {
  const path = `${join(process.execPath, "..")}:${PATH}`;

  test("never answers", async () => {
    const { said, code } = await prepare(await makeClone(), path, silence.url);
    expect(said).toStartWith("Installing dependencies with Bun ");
    expect(said).toContain("... installing dependencies, 3 s\n");
    expect(said).toContain("Ways on:\n  - behind a proxy: ");
    expect(code).toBe(1);
  }, 60_000);

  test("refuses", async () => {
    const { said, code } = await prepare(await makeClone(), path, "http://127.0.0.1:1");
    expect(said).toContain("ConnectionRefused");
    expect(said).toContain("Ways on:");
    expect(code).toBe(1);
  }, 60_000);
});

describe.concurrent("Bun itself does not come, since npm", () => {
  async function withNpm(script: string) {
    const clone = await makeClone();
    const npm = join(clone, "npm");
    await Bun.write(npm, `#!/bin/sh\n${script}\n`);
    await chmod(npm, 0o755);
    return await prepare(clone, `${clone}:${PATH}`, silence.url);
  }

  test("never answers", async () => {
    const { said, code } = await withNpm("exec sleep 60");
    expect(said).toStartWith("Getting Bun ");
    expect(said).toContain("... getting Bun ");
    expect(said).toContain("Ways on:");
    expect(code).toBe(1);
  }, 60_000);

  test("refuses", async () => {
    const { said, code } = await withNpm("echo npm error E403 >&2; exit 1");
    expect(said).toContain("npm error E403\n");
    expect(said).toContain("Ways on:");
    expect(code).toBe(1);
  }, 60_000);

  test("does not trust a proxy that opens TLS, as companies have", async () => {
    const { said, code } = await withNpm("echo npm error SELF_SIGNED_CERT_IN_CHAIN >&2; exit 1");
    expect(said).toContain("NODE_EXTRA_CA_CERTS=FILE scripts/demo");
    expect(code).toBe(1);
  }, 60_000);
});
