/** The unit of systemd and the container file say what lmproxy understands today, and agree with its defaults. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { PROXY_FIELDS } from "../../src/commands/proxy-flags.ts";
import { parseServeConfig, type ServeConfig } from "../../src/config/serve-config.ts";
import { run, startProxy } from "../commands/program.ts";

setDefaultTimeout(60_000);
const DEPLOY = join(import.meta.dir, "../../deploy");
const EXECUTABLE = "/usr/local/bin/lmproxy";

type Environment = Readonly<Record<string, string>>;

/** What `serve` makes of it; a key stands in every file. */
function serve(argv: readonly string[], env: Environment): ServeConfig {
  const words = argv[0] === "serve" ? argv.slice(1) : argv;
  const parsed = parseServeConfig(words, env, () => "a-key");
  if (parsed.help !== null) throw new Error("help instead of a configuration");
  expect(parsed.notes).toEqual([]);
  return parsed;
}

async function linesOf(path: string): Promise<string[]> {
  return (await Bun.file(join(DEPLOY, path)).text()).split("\n");
}

/** `NAME=value` in each of the lines. */
function pairs(lines: readonly string[]): [name: string, value: string][] {
  return lines.flatMap((line) => {
    const [, name = "", value = ""] = /^(\w+)=(.*)$/.exec(line) ?? [];
    return name === "" ? [] : [[name, value]];
  });
}

const unit = pairs(await linesOf("systemd/lmproxy.service"));
const setting = (name: string) => unit.findLast(([one]) => one === name)?.[1] ?? "";
const UNIT_ENVIRONMENT = Object.fromEntries(
  pairs(unit.filter(([name]) => name === "Environment").map(([, value]) => value)).map(
    ([name, value]) => [name, value.replace("%S", "/var/lib")],
  ),
);
const [executable, ...argv] = setting("ExecStart").split(" ");

test("the unit starts lmproxy, keeps its nodes where it may write, and waits until all has finished", () => {
  expect(executable).toBe(EXECUTABLE);
  const { config } = serve(argv, UNIT_ENVIRONMENT);
  expect(config.statePath).toBe(`/var/lib/${setting("StateDirectory")}/nodes-8000.json`);
  const leastS = (config.drainTimeoutMs + config.shutdownDelayMs) / 1_000 + 10;
  expect(Number(setting("TimeoutStopSec"))).toBeGreaterThanOrEqual(leastS);
  // An upgrade replaces all below one process: that one alone gets signals.
  expect(config.workers).toBe(1);
  expect([setting("KillMode"), setting("KillSignal")]).toEqual(["mixed", "SIGTERM"]);
  expect(setting("ExecReload")).toEndWith("-HUP $MAINPID");
});

test("the unit leaves a start alone whose flags are wrong", async () => {
  const { code } = await run([...argv, "--no-such-flag"], UNIT_ENVIRONMENT);
  expect(setting("RestartPreventExitStatus")).toBe(String(code));
});

test("the variables of the example are flags, all at once", async () => {
  const lines = await linesOf("systemd/lmproxy.env");
  const examples = pairs(lines.map((line) => line.replace(/^#(?=LMPROXY_)/, "")));
  expect(examples.length).toBeGreaterThan(5);
  const env = { ...UNIT_ENVIRONMENT, ...Object.fromEntries(examples) };
  const { sources } = serve(argv, env);
  const used = new Set(
    [...sources.values()].flatMap((source) => (source.kind === "variable" ? source.name : [])),
  );
  // The certificate goes by the name of its key.
  expect(examples.map(([name]) => name).filter((name) => !used.has(name))).toEqual([
    "LMPROXY_TLS_CERT",
  ]);
  expect(setting("EnvironmentFile")).toBe("-/etc/lmproxy/lmproxy.env");
});

test("DistServe needs no more than the unit says", () => {
  const env = { ...UNIT_ENVIRONMENT, LMPROXY_WORKERS: "", LMPROXY_SERVING_STRATEGY: "DistServe" };
  expect(serve(argv, env).config).toMatchObject({ workers: null, servingStrategy: "DistServe" });
});

test("the container serves at the port it exposes, keeps its nodes in its volume, and asks itself how it is", async () => {
  const lines = (await linesOf("docker/Dockerfile")).filter((line) => !line.startsWith("#"));
  const last = lines.slice(lines.findLastIndex((line) => line.startsWith("FROM ")));
  const says = (name: string) =>
    last.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? "";
  const entry: string[] = JSON.parse(says("ENTRYPOINT"));
  const env = Object.fromEntries(pairs([says("ENV")]));
  expect(entry).toEqual([EXECUTABLE]);
  const { config } = serve(JSON.parse(says("CMD")), env);
  expect(config.host).toBe("0.0.0.0");
  expect(says("EXPOSE")).toBe(String(config.port));
  expect(config.statePath).toStartWith(`${says("VOLUME")}/`);
  expect(says("STOPSIGNAL")).toBe("SIGTERM");
  expect(says("USER")).toBe("nonroot");
  const [program, ...check]: string[] = JSON.parse(
    /CMD (\[.*\])$/.exec(says("HEALTHCHECK"))?.[1] ?? "",
  );
  expect(program).toBe(EXECUTABLE);
  expect(new URL(PROXY_FIELDS.proxyUrl.default).port).toBe(String(config.port));
  await using proxy = await startProxy(["--disable-cache-status"]);
  expect(await run(check, { LMPROXY_PROXY_URL: proxy.url })).toMatchObject({ code: 0 });
});
