import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
/** What it takes to show a text, and nothing that could install or build. */
const tools = mkdtempSync(join(tmpdir(), "lmproxy-help-"));
for (const tool of ["basename", "dirname", "sed"]) {
  symlinkSync(Bun.which(tool) ?? "", join(tools, tool));
}
afterAll(() => rmSync(tools, { recursive: true }));

test.each(["soak", "find-the-node", "real-engines", "alerts"])(
  "scripts/%s --help shows its flags, and does nothing else",
  async (name) => {
    const script = `scripts/${name}`;
    const child = Bun.spawn([join(ROOT, script), "--help"], {
      cwd: "/",
      env: { PATH: tools },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect({ code: await child.exited, errors }).toEqual({ code: 0, errors: "" });
    expect(out).toContain(`${script} [`);
    expect(out).not.toMatch(/^#|^set -eu/m);
  },
);
