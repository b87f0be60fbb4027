/** The laboratory by its command line. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../src/commands/lab.ts";

setDefaultTimeout(60_000);

const LINES = Array.from({ length: 60 }, (_, i) =>
  JSON.stringify({
    timestamp: Math.floor(i / 4) * 2_000,
    input_length: 2_048 + (i % 3) * 512,
    output_length: 20,
    hash_ids: [i % 4, 10 + (i % 4), 20 + (i % 8), 30 + i, 100 + i, 200 + i],
  }),
).join("\n");

/** Conversations of ten turns that all come again and again, busy enough for nodes to fill. */
const CHATS = Array.from({ length: 600 }, (_, i) => {
  const [chat, turn] = [i % 60, Math.floor(i / 60)];
  return JSON.stringify({
    timestamp: i * 100,
    input_length: 512 * (4 + turn),
    output_length: 100,
    hash_ids: Array.from({ length: 4 + turn }, (_, at) => chat * 100 + at),
  });
}).join("\n");

const FILES: Readonly<Record<string, string | Uint8Array>> = {
  "t.jsonl": LINES,
  "t.jsonl.gz": Bun.gzipSync(LINES),
  "t.jsonl.zst": Bun.zstdCompressSync(LINES),
  "wide.jsonl": Buffer.from(`\uFEFF${LINES}`, "utf16le"),
  "cut.jsonl.gz": Bun.gzipSync(LINES).subarray(0, 400),
  "chats.jsonl": CHATS,
  "c.json": '{"speeds": [1, 2], "events": ["slows@5:1", "dies@10"]}',
  "roles.json": '{"speeds": [1, 2], "roles": ["Decode", "Prefill"]}',
  "one-role.json": '{"speeds": [1, 2], "roles": ["Decode"]}',
  "prefills.json": '{"speeds": [1, 2], "roles": ["Prefill", "Prefill"]}',
  "standing.json": '{"speeds": [1, 1e-300]}',
  "standing-prefill.json": '{"prefillTokensPerS": 1e-300}',
  "standing-step.json": '{"stepBaseMs": 1e300}',
  "m.json": '{"prefillTokensPerS": 50000}',
  "empty.csv": "\uFEFF\n",
  "nothing.csv": "",
  "zeros.csv": "TIMESTAMP\0",
  "t.jsonl.xz": Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a),
};
const folder = mkdtempSync(join(tmpdir(), "lmproxy-lab-"));
mkdirSync(join(folder, "traces"));
symlinkSync("loop", join(folder, "loop"));
for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text);
afterAll(() => rmSync(folder, { recursive: true }));

/** Names of files as they are to be typed. */
function paths(argv: readonly string[]): string[] {
  const isHere = (word: string) => word in FILES || word === "traces" || word === "loop";
  return argv.map((word) => (isHere(word) ? join(folder, word) : word));
}

/** @returns Exit code 0's output. */
async function lab(...argv: string[]): Promise<string> {
  let printed = "";
  await labTo(
    (text) => {
      printed += text;
    },
    ...argv,
  );
  return printed;
}

async function labTo(take: (text: string) => void, ...argv: string[]): Promise<void> {
  const given = ["--trace", "t.jsonl", "--jobs", "1", "--seeds", "1", ...argv];
  const code = await run(paths(given), {
    env: {},
    print: async (text) => {
      take(text);
      return true;
    },
    warn: () => {},
    readFile: (path) => readFileSync(path, "utf8"),
  });
  expect(code).toBe(0);
}

const FIELDS = [
  ...["strategy", "trace", "cluster", "nodes", "model", "seed", "requests", "refused"],
  ...["ttft_p50_s", "ttft_p99_s", "e2e_p99_s", "hit_rate", "ideal_hit_rate", "decision_us"],
];

test("every strategy and yardstick answers everything, and rows have the fields that scripts read", async () => {
  const rows = JSON.parse(await lab("--json"));
  expect(rows.map((row: { strategy: string }) => row.strategy)).toContainValues([
    "prefix_aware",
    "round_robin",
    "lmetric",
  ]);
  for (const row of rows) {
    for (const field of FIELDS) expect(row).toHaveProperty(field);
    expect(row).toMatchObject({ trace: "t.jsonl", cluster: "equal", nodes: 8, requests: 60 });
    expect(row.refused).toBe(0);
    expect(row.hit_rate).toBeWithin(0, row.ideal_hit_rate + 1e-9);
  }
});

test("the same seed gives the same rows, another one others", async () => {
  const rows = async (seeds: string) =>
    JSON.parse(await lab("--json", "--strategies", "prefix_aware", "--seeds", seeds)).map(
      (row: object) => ({ ...row, decision_us: 0 }),
    );
  const [twice, once] = [await rows("2"), await rows("1")];
  expect(twice.slice(0, 1)).toEqual(once);
  expect(twice[1]).not.toEqual({ ...twice[0], seed: 2 });
});

test("clusters and models come from files too, and nodes may die in the middle", async () => {
  const argv = ["--cluster", "c.json", "--model", "m.json", "--strategies", "prefix_aware"];
  const [row] = JSON.parse(await lab("--json", ...argv));
  expect(row).toMatchObject({ cluster: "c.json", model: "m.json", nodes: 2, refused: 0 });
});

test("a packed trace, and one in UTF-16, are read as they are", async () => {
  const argv = ["--trace", "t.jsonl.gz", "--trace", "t.jsonl.zst", "--trace", "wide.jsonl"];
  const rows = JSON.parse(await lab("--json", "--strategies", "prefix_aware", ...argv));
  const [plain] = rows;
  expect(rows.length).toBe(4);
  for (const row of rows) {
    expect({ ...row, trace: "", decision_us: 0 }).toEqual({ ...plain, trace: "", decision_us: 0 });
  }
});

test("a node that never left and is said to return goes on", async () => {
  const argv = ["--cluster", "equal", "--nodes", "1", "--strategies", "prefix_aware"];
  const [row] = JSON.parse(await lab("--json", ...argv, "--event", "returns@5:0"));
  expect(row).toMatchObject({ refused: 0 });
});

test("strategies go by their other names, too", async () => {
  const rows = JSON.parse(
    await lab("--json", "--strategies", "cache_aware,manual,cache_aware+random"),
  );
  const names = rows.map((row: { strategy: string }) => row.strategy);
  expect(names).toEqual(["prefix_aware", "sticky_least_loaded", "prefix_aware+random"]);
});

test("a table marks what is shown an oracle's view", async () => {
  const table = await lab("--strategies", "random,lmetric");
  expect(table).toContain("lmetric *");
  expect(table).not.toContain("random *");
});

test("where nothing was answered a table shows no times", async () => {
  const table = await lab("--strategies", "random", "--nodes", "1", "--event", "dies@0:0");
  expect(table).toMatch(/^random +- +- +- +- +- +- .* 60 /m);
  expect(table).not.toContain("NaN");
});

test("a plot is written", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lmproxy-plot-"));
  try {
    const file = join(folder, "plot.svg");
    await lab("--strategies", "random,prefix_aware", "--plot", file);
    const svg = await Bun.file(file).text();
    expect(svg).toStartWith("<svg");
    expect(svg.match(/<path/g)?.length).toBe(2 + 2 * 8);
    expect(svg).not.toContain("NaN");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a picture that is there stays until another is drawn, and where a run does not end nothing is left", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lmproxy-plot-"));
  try {
    const [there, fresh] = [join(folder, "there.svg"), join(folder, "deeper", "fresh.svg")];
    writeFileSync(there, "drawn before", { mode: 0o600 });
    const leaves = () => {
      throw new Error("the reader of its rows has gone");
    };
    for (const file of [there, fresh]) {
      const argv = ["--json", "--strategies", "random", "--plot", file];
      await expect(labTo(leaves, ...argv)).rejects.toThrow("has gone");
    }
    expect(readFileSync(there, "utf8")).toBe("drawn before");
    expect(readdirSync(folder, { recursive: true }).toSorted()).toEqual(["deeper", "there.svg"]);
    await lab("--strategies", "random", "--plot", there);
    expect(readFileSync(there, "utf8")).toStartWith("<svg");
    expect(statSync(there).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).toSorted()).toEqual(["deeper", "there.svg"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("what is wrong is said", () => {
  test.each([
    [["--strategies", "prefix_awre"], "did you mean prefix_aware"],
    [["--trace", "synthetic:x"], "synthetic:"],
    [["--trace", "none.csv"], "no file (ENOENT)"],
    [["--cluster", "none.json"], "no file (ENOENT)"],
    [["--trace", "loop"], "loop cannot be read (ELOOP)"],
    [["--cluster", "loop"], "loop cannot be read (ELOOP)"],
    [["--trace", "empty.csv"], "it is empty"],
    [["--trace", "nothing.csv"], "it is empty"],
    [["--trace", "cut.jsonl.gz"], "cut.jsonl.gz cannot be unpacked (gzip): "],
    [["--trace", "t.jsonl.xz"], "t.jsonl.xz is packed as xz: unpack it first"],
    [["--trace", "zeros.csv"], "is no text"],
    [["--trace", "traces"], "traces is a directory; name one of the files in it"],
    [["--cluster", "t.jsonl"], "no JSON"],
    [["--model", "c.json"], "speeds"],
    [["--event", "explodes@3"], "explodes@3 is no event"],
    [["--plot", tmpdir()], `--plot ${tmpdir()}: `],
    [["--event", "dies@3:8"], "dies@3:8 is of no node: those of equal are 0 to 7"],
    [["--cluster", "prefills.json"], "a Prefill and a Decode node"],
    [["--rate", "0.0000001"], "--rate 1e-7 makes more than 366 days of t.jsonl"],
    [["--cluster", "standing.json"], "standing.json: /speeds/1: "],
    [["--model", "standing-prefill.json"], "standing-prefill.json: /prefillTokensPerS: "],
    [["--model", "standing-step.json"], "standing-step.json: /stepBaseMs: "],
  ])("%p", async (argv, says) => {
    await expect(lab(...argv)).rejects.toThrow(says);
  });
});

describe("a cluster with prefill and decode nodes", () => {
  const times = async (...argv: string[]) => {
    const rows: { refused: number; hit_rate: number; ttft_p50_s: number; e2e_p50_s: number }[] =
      JSON.parse(await lab("--json", ...argv));
    for (const row of rows) expect(row.refused).toBe(0);
    return rows;
  };

  test("answers everything, each role by its strategy, also when nodes die", async () => {
    for (const cluster of ["distserve", "distserve-unequal", "roles.json"]) {
      const strategies = "prefix_aware,prefix_aware+round_robin,random+lmetric";
      const [first] = await times("--cluster", cluster, "--strategies", strategies);
      expect(first?.hit_rate).toBeGreaterThan(0.1);
      expect(first?.e2e_p50_s).toBeGreaterThan(first?.ttft_p50_s ?? 0);
    }
    await times("--cluster", "distserve", "--event", "dies@4:0", "--event", "dies@6:7");
  });

  test("has as many roles as nodes, two at least", async () => {
    await expect(lab("--cluster", "distserve", "--nodes", "1")).rejects.toThrow("two nodes");
    await expect(lab("--cluster", "one-role.json")).rejects.toThrow("as many roles as speeds");
    await expect(lab("--strategies", "prefix_aware+randon")).rejects.toThrow("no such strategy");
  });
});

describe("several workers of the proxy", () => {
  const row = async (workers: string, strategy: string) => {
    const argv = ["--strategies", strategy, "--workers", workers, "--trace", "chats.jsonl"];
    const rows = JSON.parse(await lab("--json", ...argv));
    return rows.find(({ trace }: { trace: string }) => trace === "chats.jsonl");
  };

  test("share what is in flight: nobody overloads a node that others are filling", async () => {
    const [one, four] = [
      await row("1", "min_expected_latency"),
      await row("4", "min_expected_latency"),
    ];
    expect(four).toMatchObject({ workers: 4, refused: 0, requests: one.requests });
    expect(four.load_spread).toBeLessThan(one.load_spread * 1.05);
  });

  test("share which prefixes are where, and what waits at a node", async () => {
    const [one, four] = [await row("1", "prefix_aware"), await row("4", "prefix_aware")];
    expect(four.hit_rate).toBeGreaterThan(one.hit_rate * 0.95);
    expect(four.ttft_p99_s).toBeLessThan(one.ttft_p99_s * 1.1);
  });

  test("share how long answers took", async () => {
    const strategy = "min_observed_latency";
    const [one, four] = [await row("1", strategy), await row("4", strategy)];
    expect(four.ttft_p99_s).toBeLessThan(one.ttft_p99_s * 1.1);
  });

  test("are told of beside the nodes, and know of those that die", async () => {
    const argv = ["--workers", "3", "--cluster", "c.json", "--strategies", "min_observed_latency"];
    expect(await lab(...argv)).toContain("2 nodes (c.json) of llama3-70b-8xa100 behind 3 workers");
    const [row] = JSON.parse(await lab("--json", ...argv));
    expect(row).toMatchObject({ workers: 3 });
    // An answer that has begun ends with its node.
    expect(row.refused).toBeLessThan(3);
  });
});
