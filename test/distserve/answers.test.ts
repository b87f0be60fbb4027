import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  isFreed,
  readEndpointInfos,
  readEngineInfo,
  readPrefillAnswer,
  readStatus,
} from "../../src/distserve/answers.ts";

const encoder = new TextEncoder();

function prefillAnswer(change: Readonly<Record<string, string | null>>) {
  const members = { id: '"42"', cache_block_ids: "[7,8]", remote_token_ids: "[1,9]", ...change };
  const text = Object.entries(members)
    .filter(([, json]) => json !== null)
    .map(([name, json]) => `"${name}":${json}`)
    .join(",");
  return readPrefillAnswer(encoder.encode(`{"object":"chat.completion",${text}}`));
}

describe("engine_info", () => {
  test.each([
    ["a JSON string that holds JSON", JSON.stringify('{"tp_size": 2}'), '{"tp_size": 2}', 2],
    ["the plain object", ' {"tp_size": 8, "x": 1e3} ', '{"tp_size": 8, "x": 1e3}', 8],
  ])("%s", (_, body, json, tpSize) => {
    expect(readEngineInfo(body)).toEqual({ json, tpSize });
  });

  test.each([
    "",
    "null",
    "[]",
    "{}",
    '"x"',
    '{"tp_size": "2"}',
    '{"tp_size": 0}',
    '{"tp_size": 1.5}',
    '{"tp_size": 2, "nested": {broken}}',
    JSON.stringify(JSON.stringify('{"tp_size": 2}')),
  ])("not %s", (body) => {
    expect(readEngineInfo(body)).toBeNull();
  });
});

test("status is a number: 1 is SUCCESS, 2 is FAIL, anything else no answer", () => {
  const bodies = ['{"status": 1}', '{"status":2}', '{"status":"1"}', '{"status":3}', "{}", "", "1"];
  expect(bodies.map(readStatus)).toEqual(["success", "fail", null, null, null, null, null]);
});

test("endpoint infos are passed on as they were written", () => {
  const body =
    '{"status":1,"engine_endpoint_info": {"a": 1.0},"kvtransfer_endpoint_info":[ "\\u00e9" ]}';
  expect(readEndpointInfos(body)).toEqual({
    engineJson: '{"a": 1.0}',
    kvTransferJson: '[ "\\u00e9" ]',
  });
  expect(readEndpointInfos('{"status":1,"engine_endpoint_info":{}}')).toBeNull();
  expect(readEndpointInfos(body.replace("1.0", "1.0.0"))).toBeNull();
});

test("free_cache succeeded only when it says so", () => {
  const bodies = ['{"status":"SUCCESS"}', '{"status":"FAIL"}', '{"status":1}', "", "null"];
  expect(bodies.map(isFreed)).toEqual([true, false, false, false, false]);
});

describe("a prefill's answer", () => {
  test.each([
    ['"42"', "42"],
    ["42", "42"],
    ['"0"', "0"],
    ["18446744073709551615", "18446744073709551615"],
    ['"18446744073709551615"', "18446744073709551615"],
  ])("names its session %s", (id, session) => {
    expect(prefillAnswer({ id })).toEqual({
      kind: "prefilled",
      session,
      tokenId: 9,
      blockIds: [7, 8],
    });
  });

  test.each([
    null,
    '"chatcmpl-5"',
    '"-1"',
    "-1",
    "1.5",
    "1e2",
    '"042"',
    '""',
    "null",
    "[1]",
    '"99999999999999999999999"',
  ])("does not name it with %s, and then nothing can be freed", (id) => {
    const answer = prefillAnswer({ id });
    expect(answer).toMatchObject({ kind: "unnamed", session: null });
    if (answer.kind === "unnamed" && id !== null) expect(answer.reason).toContain(id);
  });

  test.each([
    ["41", '"42"', "41"],
    ["0", '"chatcmpl-5"', "0"],
    ["18446744073709551615", '"-1"', "18446744073709551615"],
    ["null", "42", "42"],
    ["-1", "42", null],
    ["1.5", "42", null],
    ["{}", '"42"', null],
  ])("names its session by cache_session_id %s before its id %s", (named, id, session) => {
    expect(prefillAnswer({ cache_session_id: named, id })).toMatchObject({ session });
  });

  test.each([
    ["cache_block_ids", null],
    ["cache_block_ids", "[]"],
    ["cache_block_ids", '["7"]'],
    ["cache_block_ids", "[7.5]"],
    ["cache_block_ids", "[9007199254740993]"],
    ["cache_block_ids", "null"],
    ["remote_token_ids", null],
    ["remote_token_ids", "[]"],
    ["remote_token_ids", "{}"],
  ])("without a usable %s (%s) says so, and which session to free", (name, json) => {
    const answer = prefillAnswer({ [name]: json });
    expect(answer).toMatchObject({ kind: "unusable", session: "42" });
    if (answer.kind === "unusable") expect(answer.reason).toContain(name);
  });

  test.each(["", "[]", "<html>", '{"id":"42"', '{"id":"42"}{}'])("is not %s", (body) => {
    expect(readPrefillAnswer(encoder.encode(body))).toMatchObject({ session: null });
  });
});

test("no answer of an engine makes a reader throw", () => {
  const anything = fc.oneof(fc.string(), fc.json(), fc.string({ unit: "binary" }));
  fc.assert(
    fc.property(anything, fc.uint8Array(), (text, bytes) => {
      readEngineInfo(text);
      readEngineInfo(JSON.stringify(text));
      readStatus(text);
      readEndpointInfos(text);
      isFreed(text);
      readPrefillAnswer(encoder.encode(text));
      readPrefillAnswer(bytes);
    }),
  );
});
