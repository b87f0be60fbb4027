import { describe, expect, test } from "bun:test";
import { version } from "../../package.json";
import { MAIN, run } from "./program.ts";

test.each([["--version"], ["-V"], ["-v"], ["version"]])("%s", async (flag) => {
  expect(await run([flag])).toEqual({ out: `lmproxy ${version}\n`, err: "", code: 0 });
});

test.each([["--help"], ["-h"], ["help"]])("%s lists the commands", async (flag) => {
  const { out, err, code } = await run([flag]);
  expect({ err, code }).toEqual({ err: "", code: 0 });
  for (const command of ["serve", "engine", "demo", "nodes", "openapi"]) {
    expect(out).toContain(`\n  ${command} `);
  }
});

test("the list of commands fits 80 columns", async () => {
  const { out } = await run(["--help"]);
  expect(out.split("\n").filter((line) => line.length > 80)).toEqual([]);
});

test("help COMMAND is COMMAND --help, and fits 80 columns", async () => {
  const { out, code } = await run(["help", "serve"]);
  expect(code).toBe(0);
  expect(out).toBe((await run(["serve", "--help"])).out);
  expect(out.split("\n").filter((line) => line.length > 80)).toEqual([]);
  expect((await run(["help", "nodes", "add"])).out).toContain("Usage: lmproxy nodes add ");
  expect((await run(["help", "serv"])).err).toContain("did you mean serve?");
});

test("launch is another router's word for serve, and says whose flags are meant", async () => {
  const { out, err, code } = await run(["launch", "--print-config", "--api-key", "canary"]);
  expect(code).toBe(0);
  expect(out).toMatch(/^--as +smg +flag --as$/m);
  expect(err).toContain("--api-key is taken as --api-keys and --upstream-api-key, as in smg");
  expect(out + err).not.toContain("canary");
});

test("serve is the default", async () => {
  const { out, code } = await run(["--port", "81", "--print-config"]);
  expect(code).toBe(0);
  expect(out).toMatch(/^--port +81 +flag --port$/m);
});

describe("output that cannot be written", () => {
  /** Runs a line of shell in which `$PROGRAM` is lmproxy. */
  async function shell(line: string): Promise<{ out: string; err: string }> {
    const PROGRAM = `${process.execPath} ${MAIN}`;
    const ran = Bun.spawn(["sh", "-c", line], {
      ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
      env: { PATH: process.env.PATH, PROGRAM },
    });
    const [out, err] = await Promise.all([ran.stdout.text(), ran.stderr.text()]);
    return { out, err };
  }

  test("a reader that leaves early is no error", async () => {
    const line = "{ $PROGRAM openapi; echo code $? >&2; } | head -c 1";
    expect(await shell(line)).toEqual({ out: "{", err: "code 0\n" });
  });

  test("a full disk is told", async () => {
    const { err } = await shell("$PROGRAM --version > /dev/full; echo code $? >&2");
    expect(err).toBe("lmproxy: cannot write to standard output (ENOSPC)\ncode 1\n");
  });

  test("a pipe that does not wait gets every byte once, however little it holds", async () => {
    const whole = await run(["openapi"]);
    // Bun makes a pipe that its `process.stdout` writes to one that does not wait, for others too.
    const parent =
      "process.stdout.write(''); Bun.spawnSync(process.argv.slice(1), { stdout: 'inherit' })";
    const { out } = await shell(`${process.execPath} -e "${parent}" $PROGRAM openapi | cat`);
    expect(out).toBe(whole.out);
  });
});

describe("what cannot be run is one line on stderr and exit code 2", () => {
  test.each([
    [["serv"], "lmproxy: unknown command serv; did you mean serve?\n"],
    [
      ["server", "--model-path", "m"],
      "lmproxy: server is refused: lmproxy starts no engines; start them and name them with --node\n",
    ],
    [["sk canary"], "lmproxy: unknown command; see lmproxy --help\n"],
    [["--prot", "81"], "lmproxy: unknown flag --prot; did you mean --port?\n"],
    [["engine"], "lmproxy engine needs --model, the name of the model it serves\n"],
    [["demo", "--onec"], "lmproxy: unknown flag --onec; did you mean --once?\n"],
    [
      ["openapi", "all"],
      "lmproxy openapi takes no further arguments beside its flags; see lmproxy openapi --help\n",
    ],
    [["nodes", "lst"], "lmproxy nodes has no such command; did you mean list?\n"],
    [["nodes", "add"], "lmproxy nodes add needs <url>; see lmproxy nodes add --help\n"],
    [
      ["nodes", "add", "engine:1"],
      "lmproxy: the node's URL must be an http:// or https:// URL without user name and password, or NAME=URL\n",
    ],
    [
      ["nodes", "terminate"],
      "lmproxy nodes terminate needs either the URL or name of a node, or --all\n",
    ],
    [
      ["--api-keys", "@/no/such/file"],
      'lmproxy: --api-keys: cannot read the file "/no/such/file" (ENOENT)\n',
    ],
  ])("%j", async (argv, err) => {
    expect(await run(argv)).toEqual({ out: "", err, code: 2 });
  });
});
