/** argv → a command, nothing else. Commands are loaded when they are run. */
import { version } from "../package.json";
import type { Run, Surroundings } from "./commands/command.ts";
import { readTextFile } from "./commands/read-file.ts";
import { errorCode } from "./core/thrown.ts";
import { writeError } from "./observe/stderr.ts";

interface Entry {
  /** Left out for what people do not run. */
  readonly summary?: string;
  readonly load: () => Promise<{ readonly run: Run }>;
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  serve: {
    summary: "Run the proxy (the default).",
    load: () => import("./commands/serve.ts"),
  },
  engine: {
    summary: "Run a simulated LLM engine.",
    load: () => import("./commands/engine.ts"),
  },
  demo: {
    summary: "Run a proxy with simulated engines and show an answer.",
    load: () => import("./commands/demo.ts"),
  },
  nodes: {
    summary: "List, show, add, remove, drain or end nodes of a running proxy.",
    load: () => import("./commands/nodes.ts"),
  },
  requests: {
    summary: "Show what a running proxy does just now, oldest first.",
    load: () => import("./commands/requests.ts"),
  },
  explain: {
    summary: "Show how a request went, and why its nodes were chosen.",
    load: () => import("./commands/explain.ts"),
  },
  doctor: {
    summary: "Say what is wrong with a running proxy and its nodes.",
    load: () => import("./commands/doctor.ts"),
  },
  reload: {
    summary: "Have a running proxy read its files again.",
    load: () => import("./commands/reload.ts"),
  },
  "log-level": {
    summary: "Show or change how much a running proxy logs.",
    load: () => import("./commands/log-level.ts"),
  },
  health: {
    summary: "Ask a running proxy whether it is up.",
    load: () => import("./commands/health.ts"),
  },
  lab: {
    summary: "Compare strategies on recorded or made-up traffic.",
    load: () => import("./commands/lab.ts"),
  },
  upgrade: {
    summary: "Replace the workers of a running proxy by what is installed now.",
    load: () => import("./commands/upgrade.ts"),
  },
  worker: { load: () => import("./commands/worker.ts") },
  openapi: {
    summary: "Print the OpenAPI document.",
    load: () => import("./commands/openapi.ts"),
  },
};

function overview(): string {
  const names = Object.keys(COMMANDS);
  const width = Math.max(...names.map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) =>
    summary === undefined ? "" : `  ${name.padEnd(width)}  ${summary}\n`,
  );
  return `lmproxy ${version}: spreads OpenAI-compatible requests over LLM engines.

Usage: lmproxy [command] [flags]

Commands:
${lines.join("")}
  ${"help".padEnd(width)}  Show a command's flags, as lmproxy help serve.
  ${"version".padEnd(width)}  Print the version.

Without a command, flags are those of serve.
`;
}

const surroundings: Surroundings = {
  env: process.env,
  print,
  warn: (line) => writeError(`${line}\n`),
  readFile: readTextFile,
};

/** Not by `process.stdout`, which takes milliseconds to make. */
async function print(text: string): Promise<boolean> {
  const output = Bun.stdout.writer();
  try {
    output.write(text);
    await output.flush();
    return true;
  } catch (error) {
    const code = errorCode(error) ?? String(error);
    // Whoever reads our output may leave early, as `head` does.
    if (code === "EPIPE") return false;
    writeError(`lmproxy: cannot write to standard output (${code})\n`);
    process.exitCode = 1;
    return false;
  }
}

async function runCommand(argv: readonly string[]): Promise<number> {
  const [first = "serve", ...rest] = argv;
  if (["--version", "-V", "-v", "version"].includes(first)) {
    await surroundings.print(`lmproxy ${version}\n`);
    return 0;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    if (first === "help" && rest.length > 0) return await runCommand([...rest, "--help"]);
    await surroundings.print(overview());
    return 0;
  }
  // `sglang-router launch …` and `smg launch …`.
  if (first === "launch") return await runCommand(["serve", ...asOf(rest), ...rest]);
  const name = first.startsWith("-") ? "serve" : first;
  const entry = COMMANDS[name];
  if (entry === undefined) {
    surroundings.warn(await unknownCommand(first));
    return 2;
  }
  const { run } = await entry.load();
  return await run(first === name ? rest : argv, surroundings);
}

/** Whose word `launch` is, unless the user says so. */
function asOf(argv: readonly string[]): readonly string[] {
  return argv.some((word) => /^--as(?:=|$)/.test(word)) ? [] : ["--as", "smg"];
}

async function unknownCommand(typed: string): Promise<string> {
  // `smg server …` starts engines and a router.
  if (typed === "server")
    return "lmproxy: server is refused: lmproxy starts no engines; start them and name them with --node";
  const { nearestName } = await import("./core/nearest-name.ts");
  const nearest = nearestName(typed, Object.keys(COMMANDS));
  const advice = nearest === undefined ? "see lmproxy --help" : `did you mean ${nearest}?`;
  const shown = /^[\w-]{1,40}$/.test(typed) ? ` ${typed}` : "";
  return `lmproxy: unknown command${shown}; ${advice}`;
}

/** Expected failures are one line; anything else is a bug and shows where it happened, by name. */
function exitCodeOf(error: unknown): number {
  if (!(error instanceof Error)) {
    surroundings.warn(`lmproxy: unexpected error: ${String(error)}`);
    return 1;
  }
  if (!["UsageError", "CommandError"].includes(error.name)) {
    // Bun.inspect would add the source, which is one long line in the executable.
    surroundings.warn(`lmproxy: unexpected error: ${error.stack ?? error.message}`);
    return 1;
  }
  const { name, message } = error;
  surroundings.warn(message.startsWith("lmproxy ") ? message : `lmproxy: ${message}`);
  return name === "UsageError" ? 2 : 1;
}

// Bun's fetch would look for engines behind an HTTP proxy of the environment, even those on
// loopback. They are reached directly, as by LMDeploy's proxy.
for (const name of ["HTTP_PROXY", "HTTPS_PROXY"]) {
  delete process.env[name];
  delete process.env[name.toLowerCase()];
}
void runCommand(process.argv.slice(2))
  .catch(exitCodeOf)
  .then((code) => process.exit(code === 0 ? process.exitCode : code));
