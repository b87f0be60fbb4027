/** What cannot be run is answered with one line that says what is wrong and what would be right. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseServeConfig } from "../../src/config/serve-config.ts";
import { SERVE_FLAGS } from "../../src/config/serve-flags.ts";
import { UsageError } from "../../src/config/usage-error.ts";
import { refusal } from "./parse.ts";

test.each([
  ["--porr 80", "unknown flag --porr; did you mean --port?"],
  ["--stratgy random", "unknown flag --stratgy; did you mean --strategy?"],
  ["--max-conc 5", "unknown flag --max-conc; did you mean --max-concurrency?"],
  ["--frobnicate", "unknown flag --frobnicate; see lmproxy serve --help"],
  ["--port", "--port needs a value: a whole number from 0 to 65535"],
  ["--port --sticky", "--port needs a value: a whole number from 0 to 65535"],
  [
    "--admin-key --sticky",
    "--admin-key needs a value: made of letters, digits and punctuation only, without spaces",
  ],
  [
    "--api-key",
    "--api-keys needs a value: made of letters, digits and punctuation only, without spaces, with a key behind each NAME: (--api-key is taken as --api-keys)",
  ],
  ["--port 65536", '--port must be a whole number from 0 to 65535, not "65536"'],
  ["--port 0x50", '--port must be a whole number from 0 to 65535, not "0x50"'],
  ["--no-retry=false", "--no-retry takes no value"],
  [
    "--strategy fastest",
    '--strategy must be one of prefix_aware, random, round_robin, power_of_two, consistent_hash, rendezvous_hash, sticky_least_loaded, min_expected_latency, min_observed_latency, min_cache_usage, not "fastest"',
  ],
  [
    "--health-interval 0",
    '--health-interval must be a number of seconds from 0.001 to 2147483, not "0"',
  ],
  [
    "--health-interval 5s",
    '--health-interval must be a number of seconds from 0.001 to 2147483, not "5s"',
  ],
  [
    "--timeout NaN",
    '--timeout must be a number of seconds up to 2147483, 0 for no limit, not "NaN"',
  ],
  [
    "--timeout 1e3",
    '--timeout must be a number of seconds up to 2147483, 0 for no limit, not "1e3"',
  ],
  ["--drain-timeout -1", '--drain-timeout must be a number of seconds from 0 to 2147483, not "-1"'],
  [
    "--queue-timeout 2147484",
    '--queue-timeout must be a number of seconds from 0 to 2147483, not "2147484"',
  ],
  [
    "--max-body 64XB",
    '--max-body must be a size of at least 1 byte such as 1048576, 512KiB or 64MiB, not "64XB"',
  ],
  [
    "--max-body 8MiB --max-body-memory 7MiB",
    "--max-body-memory must hold a body of --max-body (8MiB); raise it, or lower --max-body",
  ],
  ["--max-concurrency 1.5", '--max-concurrency must be a whole number, 0 for no limit, not "1.5"'],
  [
    "--model-alias gpt=llama llama=org/llama",
    '--model-alias leads "gpt" to "llama", which is an alias; name the model that engines serve',
  ],
  [
    "--model-alias a=b b=a",
    '--model-alias leads "a" to "b", which is an alias; name the model that engines serve',
  ],
  [
    "--model-alias a=a",
    '--model-alias leads "a" to "a", which is an alias; name the model that engines serve',
  ],
  ["--model-alias a=b a=c", '--model-alias leads "a" to "b" and to "c"'],
  [
    "--node a:23333",
    '--node must be an http:// or https:// URL without user name and password, or NAME=URL, not "a:23333"',
  ],
  [
    "--node ftp://a",
    '--node must be an http:// or https:// URL without user name and password, or NAME=URL, not "ftp://a"',
  ],
  [
    "--trust-nodes 10/8",
    '--trust-nodes must be a network such as 10.0.0.0/8 or fd00::/8, not "10/8"',
  ],
  [
    "--trust-nodes 10.0.0.0/33",
    '--trust-nodes must be a network such as 10.0.0.0/8 or fd00::/8, not "10.0.0.0/33"',
  ],
  [
    "--allow-nodes http://a",
    '--allow-nodes must be a network such as 10.0.0.0/8 or a host name pattern such as *.gpu.internal, not "http://a"',
  ],
  ["--health-path health", '--health-path must be a path that begins with /, not "health"'],
  [
    "--log-level loud",
    '--log-level must be one of trace, debug, info, warning, error, fatal, not "loud"',
  ],
  ["--prefill http://a", "--prefill needs --serving-strategy DistServe"],
  ["--disable-gdr", "--disable-gdr needs --serving-strategy DistServe"],
  [
    "--serving-strategy DistServe --node http://a",
    "--node needs --serving-strategy Hybrid; name engines with --prefill and --decode",
  ],
  [
    "--serving-strategy DistServe --workers 2",
    "--workers needs --serving-strategy Hybrid; with DistServe leave it out, or run one lmproxy for each group of engines",
  ],
  ["80", "lmproxy serve takes no further arguments beside its flags; see lmproxy serve --help"],
])("%s", (argv, message) => {
  expect(refusal(argv)).toBe(message);
});

describe("a number out of range is told the range", () => {
  const bounded = SERVE_FLAGS.flatMap(({ names: [name], kind, value }) => {
    const { minimum, maximum } = value;
    return maximum === undefined ? [] : [[name, kind, minimum, maximum] as const];
  });

  test.each(bounded)("--%s", (name, kind, minimum, maximum) => {
    const range = `from ${kind.show(minimum)} to ${kind.show(maximum)}`;
    const digits = /\d+/.exec(kind.show(maximum))?.[0] ?? "";
    const beyond = kind.show(maximum).replace(digits, `${digits}9`);
    expect(refusal(`--${name} ${beyond}`)).toContain(range);
  });
});

test.each(["authorization", "X-API-Key", "cookie", "Proxy-Authorization"])(
  "a request's id is not read from %s: it would be logged",
  (name) => {
    expect(refusal(`--request-id-headers X-Id ${name}`)).toBe(
      `--request-id-headers must be a header's name, of none that holds keys, not "${name}"`,
    );
  },
);

test("a name without its key is refused, and the line of a file that cannot be one is told", () => {
  const must =
    "must be made of letters, digits and punctuation only, without spaces, with a key behind each NAME:";
  const files = { "/keys": "a:canary\n\nteam-b:\n", "/spaces": "canary one\n" };
  expect(refusal("--api-keys @/keys", { files })).toBe(`--api-keys: line 3 of "/keys" ${must}`);
  expect(refusal("--api-keys @/spaces", { files })).toBe(`--api-keys: line 1 of "/spaces" ${must}`);
  expect(refusal("--api-keys team-b:")).toBe(`--api-keys ${must}`);
  expect(refusal("--admin-key @/spaces", { files })).toStartWith(
    '--admin-key: line 1 of "/spaces" must be',
  );
});

test("a bad variable is named as such", () => {
  expect(refusal("", { env: { LMPROXY_PORT: "http" } })).toBe(
    'LMPROXY_PORT must be a whole number from 0 to 65535, not "http"',
  );
  expect(refusal("", { env: { LMPROXY_NO_RETRY: "maybe" } })).toBe(
    'LMPROXY_NO_RETRY must be true or false, not "maybe"',
  );
  expect(refusal("", { env: { LMPROXY_DECODE: "http://a" } })).toBe(
    "LMPROXY_DECODE needs --serving-strategy DistServe",
  );
});

test("a file that cannot be read is named with the system's reason", () => {
  expect(refusal("--api-keys @/no/such/keys")).toBe(
    '--api-keys: cannot read the file "/no/such/keys" (ENOENT)',
  );
});

describe("secrets are not repeated", () => {
  test.each([
    [["--api-keys", "canary é"]],
    [["--api-keys", "fine", "canary\u0000"]],
    [["--admin-key", "canary key"]],
    [["--api-ky=canary"]],
    [["--api-ky", "canary"]],
    [["--api-key", "canary é"]],
    [["--control-plane-api-keys", "canary"]],
    [["--admin-key", "fine", "canary"]],
    [["-canary"]],
    [["canary"]],
    [["--node", "http://user:canary@host"]],
    [["--node", "ftp://user:canary@host"]],
    [["--node", "ftp://host/?k=canary"]],
    [["--node", "gpu=host:1/#canary"]],
    [["--node", "http://ho st?a=b\nc=canary"]],
    [["--host", "", "--port", "http://host?canary"]],
  ])("%j", (argv) => {
    expect(refusal(argv)).not.toContain("canary");
  });

  test("and what goes before a query is told", () => {
    expect(refusal("--node ftp://host/?k=canary")).toEndWith(', not "ftp://host/?…"');
    expect(refusal("--port 80?")).toEndWith(', not "80?"');
  });

  test("nor the bad line of a key file", () => {
    const files = { "/keys": "fine\ncanary with blanks\n" };
    expect(refusal("--api-keys @/keys", { files })).not.toContain("canary");
  });
});

test("whatever is typed, the answer is a configuration, a help text or one line", () => {
  const flag = fc.constantFrom("--port", "--node", "--api-keys", "--ssl", "--no-retry", "--help");
  const word = fc.oneof(flag, fc.string({ unit: "binary", maxLength: 12 }));
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), fc.string(), (argv, variable) => {
      try {
        parseServeConfig(argv, { LMPROXY_PORT: variable, LMPROXY_NODE: variable }, () => "");
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        expect(error.message).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
        expect(error.message.length).toBeLessThan(300);
      }
    }),
    { numRuns: 100 },
  );
}, 60_000);
