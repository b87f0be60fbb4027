import { describe, expect, test } from "bun:test";
import { readTrace } from "../../src/lab/trace/read-trace.ts";
import { idealHitRate, type Trace } from "../../src/lab/trace/trace.ts";

const MOONCAKE = `{"timestamp": 3000, "input_length": 1024, "output_length": 5, "hash_ids": [0, 1]}
{"timestamp": 3000, "input_length": 1100, "output_length": 0, "hash_ids": [0, 2, 3]}
{"timestamp": 6000, "input_length": 600, "output_length": 7, "hash_ids": [9, 1]}
{"timestamp": 6000, "input_length": 600, "output_length": 7, "hash_ids": [0, 1]}
`;
const AZURE = `TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
`;
const BAILIAN = `{"chat_id": 1, "parent_chat_id": -1, "timestamp": 10.5, "input_length": 32, "output_length": 3, "type": "text", "turn": 1, "hash_ids": [7, 8]}
{"chat_id": 2, "parent_chat_id": 1, "timestamp": 40.5, "input_length": 48, "output_length": 3, "type": "text", "turn": 2, "hash_ids": [7, 8, 9]}
`;
const AGENTS = `{"id": "a", "block_size": 64, "hash_id_scope": "local", "requests": [{"t": 0, "type": "s", "in": 128, "out": 9, "hash_ids": [1, 2], "api_time": 2}, {"t": 1, "type": "subagent", "requests": [{"t": 1, "in": 64, "out": 1, "hash_ids": [1]}]}, {"t": 7, "in": 192, "out": 9, "hash_ids": [1, 2, 3]}, {"t": 20, "in": 192, "out": 9, "hash_ids": [1, 2, 3], "think_time": 1.5}]}
{"id": "b", "block_size": 64, "requests": [{"t": 0, "in": 128, "out": 9, "hash_ids": [1, 2]}]}
`;

function read(text: string): Trace {
  return readTrace("t", text, 1);
}

/** What of request `b` is the same as of request `a`, in blocks. */
function shared({ requests }: Trace, a: number, b: number): number {
  const [one, other] = [requests[a]?.blocks ?? [], requests[b]?.blocks ?? []];
  return one.filter((block, i) => block === other[i]).length;
}

describe("what a file holds tells its format", () => {
  test("Mooncake: ms, blocks of 512 tokens, times in steps", () => {
    const trace = read(MOONCAKE);
    expect(trace.blockTokens).toBe(512);
    expect(trace.stepMs).toBe(3_000);
    expect(trace.requests.map(({ atMs }) => atMs)).toEqual([0, 0, 3_000, 3_000]);
    expect(trace.requests[1]?.outputTokens).toBe(1);
    expect(shared(trace, 0, 1)).toBe(1);
    expect(shared(trace, 0, 3)).toBe(2);
  });

  test("a block is the same only after the same prefix", () => {
    expect(shared(read(MOONCAKE), 0, 2)).toBe(0);
  });

  test("Azure: wall clock times with seven digits, no prefixes", () => {
    const trace = read(AZURE);
    expect(trace.stepMs).toBe(0);
    expect(trace.requests[1]?.atMs).toBeCloseTo(4_314.579, 2);
    expect(trace.requests[1]).toMatchObject({ inputTokens: 396, outputTokens: 109, blocks: [] });
  });

  test("Bailian: seconds, chats, blocks of 16 tokens", () => {
    const trace = read(BAILIAN);
    expect(trace.blockTokens).toBe(16);
    expect(trace.requests[1]).toMatchObject({ atMs: 30_000, after: 0, pauseMs: 30_000 });
    expect(trace.requests[0]?.session).toBe(trace.requests[1]?.session ?? -2);
    expect(shared(trace, 0, 1)).toBe(2);
  });

  test("Bailian: a parent is known wherever it stands, and one that is not there is nobody's", () => {
    const [parent = "", child = ""] = BAILIAN.trim().split("\n");
    const trace = read(`${child}\n${parent.replace("-1", "99")}\n`);
    expect(trace.requests.map(({ after }) => after)).toEqual([-1, 0]);
    expect(trace.requests[1]?.pauseMs).toBe(30_000);
  });

  test("agent sessions: ids mean something within the session, pauses are what is between", () => {
    const trace = read(AGENTS);
    expect(trace.blockTokens).toBe(64);
    const a = trace.requests.filter(({ inputTokens }) => inputTokens > 64);
    expect(a.map(({ inputTokens }) => inputTokens).toSorted()).toEqual([128, 128, 192, 192]);
    const pauses = trace.requests.map(({ pauseMs }) => pauseMs).toSorted((x, y) => x - y);
    expect(pauses).toEqual([0, 0, 0, 1_500, 5_000]);
    const seen = new Set(trace.requests.map(({ blocks }) => blocks[0]));
    expect(seen.size).toBe(2);
  });
});

test("the ideal is what one cache without limits would find", () => {
  expect(idealHitRate(read(MOONCAKE))).toBeCloseTo((512 + 600) / (1024 + 1100 + 600 + 600));
});

test.each([
  ["nothing known", "a,b,c\n1,2,3\n", "no known format"],
  ["another object", '{"a": 1}\n', "no known format"],
  ["no object", '{"timestamp": 1, "input_length": 2, "output_length": 1}\n[1]\n', "Line 2"],
  ["a wrong field", '{"timestamp": "x", "input_length": 2, "output_length": 1}\n', "`timestamp`"],
  [
    "wrong ids",
    '{"timestamp": 1, "input_length": 2, "output_length": 1, "hash_ids": 5}\n',
    "`hash_ids`",
  ],
  [
    "a line after empty ones",
    '\n\r\n{"timestamp": 1, "input_length": 2, "output_length": 1}\n\nx\n',
    "Line 5 ",
  ],
  [
    "a row after empty ones",
    "\n\r\nTIMESTAMP,ContextTokens,GeneratedTokens\n1,1,1\n\nx,y,z\n",
    "Line 6 ",
  ],
  ["an empty cell", "TIMESTAMP,ContextTokens,GeneratedTokens\n1,,1\n", "`ContextTokens`"],
  ["a row cut off", "TIMESTAMP,ContextTokens,GeneratedTokens\n1,1,1\n1,1", "Line 3 "],
  ["no end of tokens", "TIMESTAMP,ContextTokens,GeneratedTokens\n1,1,Infinity\n", "Line 2 "],
  [
    "more tokens than a body can hold",
    '{"timestamp": 1, "input_length": 1e10, "output_length": 1}\n',
    "Line 1 of the trace: `input_length` must be 10000000 or less",
  ],
  [
    "a chat without a name",
    `${BAILIAN}{"timestamp": 1, "input_length": 2, "output_length": 1}\n`,
    "Line 3 of the trace: `chat_id`",
  ],
  [
    "a time without its year",
    `${MOONCAKE}{"timestamp": 1700000000000, "input_length": 2, "output_length": 1}\n`,
    "more than 366 days apart",
  ],
  [
    "a pause without an end",
    AGENTS.replace('"think_time": 1.5', '"think_time": 1e300'),
    "more than 366 days apart",
  ],
  ["no requests", "TIMESTAMP,ContextTokens,GeneratedTokens\n", "no requests"],
  ["a row without numbers", "TIMESTAMP,ContextTokens,GeneratedTokens\nx,y,z\n", "Line 2"],
])("%s is refused, with what is wrong", (_what, text, says) => {
  expect(() => read(text)).toThrow(says);
});
