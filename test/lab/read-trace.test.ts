import { describe, expect, test } from "bun:test";
import { TraceReader } from "../../src/lab/trace/read-trace.ts";
import { idealHitRate, type Trace } from "../../src/lab/trace/trace.ts";
import { readTrace as read } from "../support/trace.ts";

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

function blocksOf({ requests, prefixes }: Trace, place: number): number[] {
  return prefixes.path(requests[place]?.prefix ?? 0);
}

/** What of request `b` is the same as of request `a`, in blocks. */
function shared(trace: Trace, a: number, b: number): number {
  const [one, other] = [blocksOf(trace, a), blocksOf(trace, b)];
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
    expect(trace.requests[1]).toMatchObject({ inputTokens: 396, outputTokens: 109, prefix: 0 });
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
    const seen = new Set(trace.requests.map((_, place) => blocksOf(trace, place)[0]));
    expect(seen.size).toBe(2);
  });
});

describe("files as they are met", () => {
  const times = (text: string) => read(text).requests.map(({ atMs }) => Math.round(atMs));

  test.each([
    ["Azure of 2023", AZURE],
    ["Azure of 2024", AZURE.replace("6805900", "680590+00:00").replace("9951690", "995169+00:00")],
    ["ISO 8601", AZURE.replaceAll(" 18", "T18").replace("6805900", "68059Z")],
    ["another zone", AZURE.replaceAll(" 18:", " 20:").replace(/(\d{7}),/g, "$1+0200,")],
    ["seconds", AZURE.replace(/2023.*46\./, "46.").replace(/2023.*50\./, "5.0")],
    ["a mark, CRLF and empty lines", `\uFEFF${AZURE.replaceAll("\n", "\r\n")}\r\n\r\n`],
    ["quotes", AZURE.replace(/^([^,]+),/gm, '"$1",')],
    ["columns in another order, and more of them", AZURE.replace(/^([^,]+),/gm, "9,$1,")],
    ["not in order", AZURE.replace(/(2023.*46.*)\n(.*)/, "$2\n$1")],
  ])("CSV: %s", (what, text) => {
    const trace = read(text);
    expect(trace.requests.map(({ inputTokens }) => inputTokens)).toEqual(
      what === "seconds" ? [396, 374] : [374, 396],
    );
    if (what !== "seconds") expect(times(text)).toEqual([0, 4_315]);
  });

  test("CSV: BurstGPT, with answers that failed", () => {
    const text =
      "Session ID,Timestamp,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n" +
      ",5,1,ChatGPT,472,18,490,Conversation log\n,45.5,1,GPT-4,0,0,0,API log\n";
    expect(times(text)).toEqual([0, 40_500]);
    expect(read(text).requests[1]).toMatchObject({ inputTokens: 1, outputTokens: 1 });
  });

  test("JSON lines: times in quotes or as dates, more members, no or huge names of blocks", () => {
    const line = (members: object) =>
      JSON.stringify({ x: { y: [] }, input_length: 0, output_length: 1.4, ...members });
    const lines = [
      line({ timestamp: "2500.5" }),
      line({ timestamp: 500.5, hash_ids: null }),
      line({ timestamp: 1500.5, hash_ids: [2 ** 53, -1, "a"] }),
    ];
    expect(times(lines.join("\r\n"))).toEqual([0, 1_000, 2_000]);
    const dates = [line({ timestamp: "2024-05-10" }), line({ timestamp: "2024-05-10T00:00:01Z" })];
    expect(() => read(`${dates[1]}\n${dates[0]}`)).toThrow(
      'Line 2 of the trace: `timestamp` must be ms, or a date such as 2024-05-10 00:00:00.25; it is "2024-05-10".',
    );
  });

  test("blocks of another size than the format's are seen as what they are", () => {
    const line = (at: number) =>
      JSON.stringify({
        ...{ timestamp: at, input_length: 1_000, output_length: 1 },
        hash_ids: Array.from({ length: 63 }, (_, i) => i),
      });
    expect(read([line(0), line(1)].join("\n")).blockTokens).toBe(16);
  });

  test("pieces may be cut anywhere", () => {
    const reader = new TraceReader("t", 1);
    for (const character of MOONCAKE) reader.write(character);
    expect(reader.end().requests).toEqual(read(MOONCAKE).requests);
  });
});

test("the ideal is what one cache without limits would find", () => {
  expect(idealHitRate(read(MOONCAKE))).toBeCloseTo((512 + 600) / (1024 + 1100 + 600 + 600));
});

test.each([
  ["nothing known", "a,b,c\n1,2,3\n", "no known format"],
  ["another object", '{"a": 1}\n', "no known format"],
  ["one list", '[{"timestamp": 1}]\n', "one object a line"],
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
