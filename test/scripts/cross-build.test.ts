/** Cross builds are for the machine they say; only what runs here is run. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crossBuild, fetchPlatforms, isTargetName, TARGETS } from "../../scripts/cross-build.ts";
import { readExecutableHeader } from "../../scripts/executable-header.ts";

const EXPECTED = {
  "linux-x64": { format: "ELF", machine: "x64", interpreter: "/lib64/ld-linux-x86-64.so.2" },
  "linux-x64-musl": { format: "ELF", machine: "x64", interpreter: "/lib/ld-musl-x86_64.so.1" },
  "linux-arm64": { format: "ELF", machine: "arm64", interpreter: "/lib/ld-linux-aarch64.so.1" },
  "linux-arm64-musl": {
    format: "ELF",
    machine: "arm64",
    interpreter: "/lib/ld-musl-aarch64.so.1",
  },
  "macos-arm64": { format: "Mach-O", machine: "arm64", interpreter: null },
} as const;

const HEADER_BYTES = 64 * 1024;
/** Each writes 110 MB. */
const BUILD_TIMEOUT_MS = 60_000;

const names = Object.keys(TARGETS).filter(isTargetName);
const platforms = await fetchPlatforms(names).catch((error: unknown) => {
  console.warn(`cross builds are skipped: ${String(error)}`);
  return null;
});

test.skipIf(platforms === null).each(names)(
  "a build for %s says so in its header",
  async (name) => {
    const folder = await mkdtemp(join(tmpdir(), "lmproxy-cross-"));
    try {
      const outfile = join(folder, "lmproxy");
      await crossBuild(name, platforms ?? "", outfile);
      const bytes = await Bun.file(outfile).slice(0, HEADER_BYTES).bytes();
      expect(readExecutableHeader(bytes)).toEqual(EXPECTED[name]);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
  BUILD_TIMEOUT_MS,
);

test("a header that is none is refused", () => {
  const script = new TextEncoder().encode("#!/bin/sh\necho this is no executable for a machine\n");
  expect(() => readExecutableHeader(script)).toThrow("neither an ELF nor a Mach-O file");
});
