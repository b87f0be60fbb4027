import { expect, test } from "bun:test";
import { startWarnings, welcome } from "../../src/commands/welcome.ts";
import { parse } from "../config/parse.ts";

const HOME = { env: { HOME: "/home/u" } };

function said(argv: string, url: string, nodes = 0): string {
  return welcome("1.2.3", parse(argv, HOME).config, { url, nodes });
}

test("says the version, an address that opens, how to get nodes, who may call, where state is kept", () => {
  expect(said("", "http://0.0.0.0:8000")).toBe(
    `lmproxy listens on http://127.0.0.1:8000
  version  1.2.3, on every address of this machine
  page     http://127.0.0.1:8000/
  docs     http://127.0.0.1:8000/docs
  nodes    none yet: start engines with --proxy-url http://HOST:8000, or name them with --node
  access   open to all, administration too; --api-keys and --admin-key ask for keys
  state    /home/u/.local/state/lmproxy/nodes-8000.json
`,
  );
});

test("says how many nodes it knows, and of the other mode by which flags to name them", () => {
  expect(said("", "http://localhost:8000", 3)).toContain("\n  nodes    3\n");
  expect(said("--serving-strategy DistServe", "http://[::]:8000")).toMatch(
    /docs +http:\/\/\[::1\]:8000\/docs\n.*--prefill and --decode\n/,
  );
});

test("with DistServe, of nodes that are all of one role it says which one there is none of", () => {
  const { config } = parse("--serving-strategy DistServe", HOME);
  const facts = { url: "http://localhost:8000", nodes: 2, lacking: ["Prefill"] as const };
  expect(welcome("1.2.3", config, facts)).toContain(
    "\n  nodes    2, none of role Prefill yet: start one, or name it with --prefill\n",
  );
});

test.each([
  ["--api-keys a", "clients and administrators need an API key"],
  ["--api-keys a --admin-key b", "clients need an API key, administration the admin key"],
  ["--admin-key b", "open to all clients; administration needs the admin key"],
])("%s: %s", (argv, access) => {
  expect(said(argv, "http://localhost:8000")).toContain(`\n  access   ${access}\n`);
});

test("warns of keys without an admin key, and of nodes that a restart forgets", () => {
  const warnings = (argv: string) => startWarnings(parse(argv, HOME).config).join("\n");
  expect(warnings("--api-keys a")).toContain("--admin-key");
  expect(warnings("--disable-cache-status")).toContain("--state");
  expect(warnings("--api-keys a --admin-key b")).toBe("");
  expect(warnings("--disable-cache-status --node http://a:1")).toBe("");
});
