/** Other routers' command lines: what their flags become, and what is said of it. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FOREIGN_FLAGS } from "../../src/config/foreign-flags.ts";
import { parseServeConfig } from "../../src/config/serve-config.ts";
import { SERVE_FLAGS } from "../../src/config/serve-flags.ts";
import { translate } from "../../src/config/translate.ts";
import { UsageError } from "../../src/config/usage-error.ts";
import { parse, refusal } from "./parse.ts";

/** The words that our own parser gets. */
function words(argv: string): string {
  return translate(argv.split(" ").filter(Boolean), SERVE_FLAGS).argv.join(" ");
}

function notes(argv: string): string[] {
  return translate(argv.split(" ").filter(Boolean), SERVE_FLAGS).notes.map(({ text }) => text);
}

describe("aliases", () => {
  test.each([
    ["--worker-urls http://a http://b", "--node http://a http://b"],
    ["--worker-urls", ""],
    ["--policy random", "--strategy random"],
    ["--policy least_load", "--strategy min_expected_latency"],
    [
      "--serving-strategy DistServe --prefill-policy random --decode-policy random",
      "--serving-strategy DistServe --prefill-strategy random --decode-strategy random",
    ],
    ["--prefill-policy bucket --decode-policy=random", ""],
    ["--max-payload-size 536870912", "--max-body 536870912"],
    ["--api-key k", "--api-keys k --upstream-api-key k"],
    ["--as vllm-router --api-key k", "--as vllm-router --upstream-api-key k"],
    ["--as=sglang-router --api-key=k", "--as=sglang-router --api-keys k --upstream-api-key k"],
    ["--router-temperature 1", null],
    ["--request-timeout-secs 1800", "--timeout 1800"],
    ["--retry-max-retries 1", "--no-retry"],
    ["--retry-max-retries 5", ""],
    ["--disable-retries", "--no-retry"],
    [
      "--health-check-timeout-secs 5 --health-check-interval-secs 60",
      "--health-timeout 5 --health-interval 60",
    ],
    ["--health-check-endpoint /health", "--health-path /health"],
    ["--max-concurrent-requests 32", "--max-concurrency 32"],
    ["--max-concurrent-requests -1", "--max-concurrency 0"],
    ["--queue-timeout-secs 60", "--queue-timeout 60"],
    ["--shutdown-grace-period-secs 180", "--drain-timeout 180"],
    ["--tls-cert-path c --tls-key-path k", "--tls-cert c --tls-key k"],
    ["--stream-body-stall-timeout-secs 300", "--body-timeout 300"],
    ["--load-monitor-interval 10", "--metrics-interval 10"],
    ["--idle-connection-timeout-secs 90", "--keep-alive 90"],
    ["--idle-connection-timeout-secs 900", "--keep-alive 255"],
    ["--prometheus-port 29000 --prometheus-host ::", "--metrics-port 29000 --metrics-host ::"],
    ["--as smg --prometheus-port 1", "--metrics-host 0.0.0.0 --as smg --metrics-port 1"],
    [
      "--as smg --prometheus-port 1 --prometheus-host ::1",
      "--as smg --metrics-port 1 --metrics-host ::1",
    ],
    ["--sse-keepalive-secs 15", "--sse-keepalive 15"],
    ["--log-json", "--log-format json"],
    ["--prefill http://a none --decode http://b", "--prefill http://a --decode http://b"],
    ["--intra-node-data-parallel-size 1 --backend sglang --history-backend none", ""],
    ["--cors-allowed-origins * https://a.test", "--allowed-origins * https://a.test"],
    ["--disable-circuit-breaker --cache-threshold 0.5", ""],
    ["--disable-circuit-breaker=false --prometheus-duration-buckets 0.1 1", ""],
    // As Python's argparse has it: what begins one name alone, and a switch turned off.
    ["--worker-url http://a --eviction-interval 60", "--node http://a"],
    ["--remove-unhealthy-workers --no-worker-auto-recovery --backend tokenspeed", ""],
  ])("%s", (argv, ours) => {
    if (ours === null) expect(refusal(argv)).toContain("is refused");
    else expect(words(argv)).toBe(ours);
  });

  test("are told once, without their values", () => {
    expect(
      notes("--worker-urls http://canary --api-key canary --cb-timeout-duration-secs 7"),
    ).toEqual([
      "--worker-urls is taken as --node",
      "--api-key is taken as --api-keys and --upstream-api-key, as in sglang-router and smg; --as vllm-router tells otherwise: clients need it",
      "--cb-timeout-duration-secs has no effect here: a node is out after 2 failures and tried again after 1 s, 2 s, … 30 s",
    ]);
    expect(notes("--worker-urls http://a --worker-urls http://b")).toHaveLength(1);
  });

  test.each([
    ["--policy manual --max-idle-secs 600", "--strategy sticky_least_loaded --session-timeout 600"],
    ["--policy sticky_least_loaded", "--strategy sticky_least_loaded"],
    ["--policy manual --assignment-mode min_group", "--strategy sticky_least_loaded"],
    ["--policy random --sticky-sessions", "--strategy random --sticky"],
    ["--routing-key-override --sticky-key-idle-secs 60", "--sticky --session-timeout 60"],
    ["--routing-key-headers x-a x-b", "--session-header x-a x-b"],
  ])("sessions: %s", (theirs, ours) => {
    expect(words(theirs)).toBe(ours);
  });

  test("whose meaning hangs on the router go by --as, its variable, or flags that one router alone has", () => {
    const forwarded = "--upstream-api-key k";
    expect(words("--api-key k --request-id-headers x")).not.toBe(forwarded);
    expect(words("--api-key k --intra-node-data-parallel-size 1")).toBe(forwarded);
    expect(translate(["--api-key", "k"], SERVE_FLAGS, { as: "vllm-router" }).argv.join(" ")).toBe(
      forwarded,
    );
    expect(notes("--api-key k --model-path m").join()).toContain(
      "as in sglang-router: clients need it",
    );
  });

  test("for prefill or decode nodes alone have no effect where there are none, and are said to", () => {
    const argv = "--worker-urls http://a --prefill-policy cache_aware --decode-policy power_of_two";
    expect(parse(argv).config).toMatchObject({ prefillStrategy: null, decodeStrategy: null });
    const told = "has no effect here: engines have roles with --serving-strategy DistServe alone";
    expect(notes(argv)).toEqual([
      "--worker-urls is taken as --node",
      `--prefill-policy ${told}`,
      `--decode-policy ${told}`,
    ]);
    const env = { LMPROXY_SERVING_STRATEGY: "distserve" };
    expect(parse("--prefill-policy random", { env }).config.prefillStrategy).toBe("random");
    expect(refusal("--prefill http://a --prefill-policy random")).toMatch(/^--prefill needs/);
  });

  test("are in no help", () => {
    const { help } = parseServeConfig(["--help"], {}, () => "");
    for (const name of FOREIGN_FLAGS.keys()) expect(help).not.toContain(`--${name} `);
  });

  test("say that another port is the default here, unless one is named", () => {
    const said = (argv: string) =>
      parse(argv)
        .notes.map(({ text }) => text)
        .join();
    expect(said("--worker-urls http://a")).toContain("port 8000 where other routers do on 30000");
    expect(said("--worker-urls http://a --port 30000")).not.toContain("port 8000");
    expect(said("--node http://a")).toBe("");
  });
});

describe("the table", () => {
  test("has each of the 233 flags once, and none of ours", () => {
    const own = SERVE_FLAGS.flatMap(({ names }) => names);
    expect([...FOREIGN_FLAGS.keys()].filter((name) => own.includes(name))).toEqual([]);
    // 233, 7 second names and two that turn a switch off, without eight that are ours too: --host,
    // --port, --queue-size, --log-level, --prefill, --decode, --model-alias, --request-id-headers.
    expect(FOREIGN_FLAGS.size).toBe(234);
  });

  test("every flag gives a configuration or one line that names it", () => {
    for (const { name, takesValues } of FOREIGN_FLAGS.values()) {
      const argv = takesValues ? [`--${name}`, "1"] : [`--${name}`];
      try {
        parseServeConfig(argv, {}, () => "key");
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        expect(error.message).toMatch(/^--[a-z\d-]+ (?:is refused: .+|must be .+|needs .+)$/);
      }
    }
  });
});

describe("LMDeploy's command line", () => {
  test.each([
    ["--server_name h --server_port 80", "--server-name h --server-port 80"],
    ["--server_port=80", "--server-port=80"],
    ["--server-n h --server-p 80", "--server-name h --server-port 80"],
    ["--ro random --link IB", "--routing-strategy random --link-type IB"],
    ["--log info", "--log-level info"],
    ["--disable-c", "--disable-cache-status"],
    ["--api-keys --ssl", "--ssl"],
    ["--api-keys a b", "--api-keys a b"],
    ["--api-key-file x", "--api-key-file x"],
    ["--no", "--no"],
  ])("%s", (argv, ours) => {
    expect(words(argv)).toBe(ours);
  });

  test("a prefix is told, with the flag that it was taken for", () => {
    expect(notes("--server_port 80 --log info --routing=random")).toEqual([
      "--log is taken as --log-level",
      "--routing is taken as --routing-strategy",
    ]);
  });

  test("--api-keys without a value asks for none, and says so", () => {
    const { config, notes } = parse("--api-keys --port 81");
    expect(config.apiKeys).toEqual([]);
    expect(notes).toEqual([
      {
        level: "warning",
        text: "--api-keys names no key: clients and administrators need none by it",
      },
    ]);
  });

  test("--log-level REQUEST is info, whose log has a line for each request", () => {
    expect(parse("--log-level REQUEST").config.logLevel).toBe("info");
  });

  test("--as lmdeploy hands keys on, unless engines have their own", () => {
    expect(parse("--as lmdeploy").config.forwardCredentials).toBe(true);
    expect(parse("--as lmdeploy --upstream-api-key k").config.forwardCredentials).toBe(false);
    expect(parse("").config.forwardCredentials).toBe(false);
  });
});

describe("whatever is typed", () => {
  const theirs = fc.constantFrom(...FOREIGN_FLAGS.keys()).map((name) => `--${name}`);
  const ours = fc
    .constantFrom(...SERVE_FLAGS.flatMap(({ names }) => names))
    .map((name) => `--${name}`);
  const value = fc.oneof(
    fc.constantFrom("-1", "http://a:1", "random", "none", "9001", "--", "-", "=", ""),
    fc.string({ unit: "binary", maxLength: 10 }),
  );
  const inlined = fc.tuple(fc.oneof(theirs, ours), value).map((pair) => pair.join("="));

  test("the answer is a configuration, a help text or one line", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(theirs, ours, inlined, value), { maxLength: 8 }),
        fc.option(fc.string(), { nil: "smg" }),
        (argv, as) => {
          try {
            parseServeConfig(argv, { LMPROXY_AS: as }, () => "k");
          } catch (error) {
            if (!(error instanceof UsageError)) throw error;
            expect(error.message).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
            expect(error.message.length).toBeLessThan(400);
          }
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);

  test("a command line of our own passes unchanged", () => {
    const own = fc
      .constantFrom(...SERVE_FLAGS.filter(({ key }) => !["prefillNodes", "apiKeys"].includes(key)))
      .chain((flag) =>
        fc.tuple(
          fc.constantFrom(...flag.names),
          flag.argument === null
            ? fc.constant([])
            : fc.array(fc.stringMatching(/^[^-].*$/), { minLength: 1, maxLength: 3 }),
        ),
      )
      .map(([name, values]) => [`--${name}`, ...values]);
    fc.assert(
      fc.property(fc.array(own, { maxLength: 5 }), (parts) => {
        const argv = parts.flat();
        expect(translate(argv, SERVE_FLAGS)).toEqual({
          argv,
          notes: [],
          isForeign: false,
          typedAs: new Map(),
        });
      }),
    );
  });
});
