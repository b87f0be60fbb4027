import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_DEPTH, MAX_TOKEN_BYTES } from "../../../src/core/body/json-scan.ts";
import { lastMember, memberAt, STRIDE, valueText } from "../../../src/core/body/member-spans.ts";
import {
  HeadScanner,
  type RequestHead,
  scanRequestHead,
  scanRequestHeadInSlices,
} from "../../../src/core/body/request-head.ts";
import { ProxyError } from "../../../src/core/errors.ts";
import { runs } from "../fuzz.ts";
import { bytesOf, objectText, textOf } from "./json-text.ts";

const scan = (text: string): RequestHead => scanRequestHead(bytesOf(text));

function refusal(body: Uint8Array): ProxyError {
  try {
    scanRequestHead(body);
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
  throw new Error(`accepted: ${textOf(body).slice(0, 80)}`);
}

/** The members as a reader of JSON sees them: decoded key and value, in order. */
function membersOf(body: Uint8Array, head: RequestHead): [unknown, unknown][] {
  return [...Array(head.members.length / STRIDE).keys()].map((index) => {
    const member = memberAt(head.members, index);
    const key: unknown = JSON.parse(textOf(body.subarray(member.memberStart, member.keyEnd)));
    const value: unknown = JSON.parse(valueText(body, member));
    return [key, value];
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

describe("what is read", () => {
  test("model and stream, wherever they stand and however their keys are written", () => {
    expect(scan('{"model":"a","stream":true}')).toMatchObject({ model: "a", stream: true });
    expect(scan('{"x":[{"model":"no"}],"mod\\u0065l":"b\\u00e9"}').model).toBe("bé");
    expect(scan(' {"stream" : true , "n":1} \n').stream).toBe(true);
    expect(scan('{"model":null}')).toMatchObject({ model: null, stream: false });
    expect(scan("{}")).toMatchObject({ model: null, stream: false, closingBrace: 1 });
  });

  test.each(["false", "null", "1", '"true"', "[true]"])("stream %s is not a stream", (json) => {
    expect(scan(`{"stream":${json}}`).stream).toBe(false);
  });

  test("a byte order mark is skipped, and positions still count from the first byte", () => {
    const body = bytesOf('\ufeff{"model":"a","n":2}');
    const head = scanRequestHead(body);
    const n = lastMember(body, head.members, "n");
    expect(head.model).toBe("a");
    expect(n && valueText(body, n)).toBe("2");
  });

  test("of several members with one key the last counts", () => {
    const body = bytesOf('{"n":1,"\\u006e":2,"m":3}');
    const member = lastMember(body, scanRequestHead(body).members, "n");
    expect(member && valueText(body, member)).toBe("2");
    expect(lastMember(body, scanRequestHead(body).members, "k")).toBeNull();
  });

  test("nested faults, deeper keys and lone surrogates are the engine's affair", () => {
    const text =
      '{"model":"m","a":{"__proto__":1,"model":1,"model":2},"b":[1 2,tru],"c":"\\ud800\\x"}';
    expect(scan(text).model).toBe("m");
  });

  test("every member and its value is found (property)", () => {
    fc.assert(
      fc.property(objectText, (text) => {
        const body = bytesOf(text);
        const head = scanRequestHead(body);
        const expected = JSON.parse(text);
        expect(Object.fromEntries(membersOf(body, head))).toEqual(expected);
        expect(head.model).toBe(expected.model ?? null);
        expect(head.stream).toBe(expected.stream === true);
        expect(body[head.closingBrace]).toBe(0x7d);
      }),
      runs(500),
    );
  });
});

describe("what is refused", () => {
  test.each([
    ["", "empty"],
    [" \n", "empty"],
    ["[]", "not a JSON object"],
    ['"x"', "not a JSON object"],
    ["null", "not a JSON object"],
    ["{", "not closed"],
    ['{"a":1', "not closed"],
    ['{"a":"', "not closed"],
    ['{"a":"\\', "not closed"],
    ['{"a":[', "not closed"],
    ['{"a":tru', "JSON value"],
    ["{a:1}", "double quotes"],
    ['{"a":1,}', "double quotes"],
    ['{,"a":1}', "double quotes"],
    ['{"a" 1}', '":"'],
    ['{"a":1 "b":2}', '","'],
    ['{"a":}', "JSON value"],
    ['{"a":01}', "JSON value"],
    ['{"a":1.}', "JSON value"],
    ['{"a":NaN}', "JSON value"],
    ['{"a":+1}', "JSON value"],
    ['{"a":1e}', "JSON value"],
    ['{"a":[}', '"]"'],
    ['{"a":{]}', '"}"'],
    ['{"a":1}x', "nothing after"],
    ['{"a":1}{}', "nothing after"],
    ['{"a":1}\u0000', "nothing after"],
    ['{"a\nb":1}', "control characters"],
    ['{"\\x":1}', "escapes"],
    ['{"model":"\\x"}', "escapes"],
    ['{"model":"a\nb"}', "control characters"],
  ])("%j", (text, complaint) => {
    const error = refusal(bytesOf(text));
    expect(error.status).toBe(400);
    expect(error.message).toContain(complaint);
  });

  test.each(["1", "true", "[]", '{"a":1}'])("a model that is %s, by its name", (json) => {
    expect(refusal(bytesOf(`{"model":${json}}`)).options.param).toBe("model");
  });

  test("model, stream twice, also escaped; __proto__", () => {
    expect(refusal(bytesOf('{"model":"a","mod\\u0065l":"b"}')).options.param).toBe("model");
    expect(refusal(bytesOf('{"stream":true,"stream":true}')).options.param).toBe("stream");
    expect(refusal(bytesOf('{"__proto__":1}')).message).toContain("__proto__");
    expect(refusal(bytesOf('{"\\u005f_proto__":1}')).message).toContain("__proto__");
  });

  test("bytes that are not UTF-8, and other encodings", () => {
    const invalid = bytesOf('{"a":"x"}');
    invalid[6] = 0xff;
    expect(refusal(invalid).message).toContain("UTF-8");
    expect(refusal(bytesOf('{\0"\0a\0"\0:\x001\0}\0')).status).toBe(400);
  });

  test("what is beyond a limit, and not what is just within", () => {
    const nested = (depth: number): string => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    expect(scan(nested(MAX_DEPTH)).model).toBeNull();
    expect(refusal(bytesOf(nested(MAX_DEPTH + 1))).message).toContain("deeper");
    expect(refusal(bytesOf(`{"a":${'[{"a":'.repeat(100_000)}`)).message).toContain("deeper");
    const name = "m".repeat(MAX_TOKEN_BYTES - 2);
    expect(scan(`{"model":"${name}"}`).model).toBe(name);
    expect(refusal(bytesOf(`{"model":"${name}m"}`)).message).toContain("longer");
    expect(refusal(bytesOf(`{"${name}m":1}`)).message).toContain("longer");
    expect(refusal(bytesOf(`{"a":1${"0".repeat(MAX_TOKEN_BYTES)}}`)).message).toContain("longer");
    const many = Array(4096).fill('"a":1').join();
    expect(scan(`{${many}}`).members).toHaveLength(4096 * STRIDE);
    expect(refusal(bytesOf(`{${many},"a":1}`)).message).toContain("members");
  });
});

/** The head and what went wrong, as one comparable value. */
function outcome(run: () => RequestHead): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof ProxyError) return error.message;
    throw error;
  }
}

function scanInSteps(body: Uint8Array, stepBytes: number): RequestHead {
  const scanner = new HeadScanner(body);
  while (!scanner.step(stepBytes));
  return scanner.head();
}

/** `text` with a few bytes changed, inserted or taken out. */
const mutated = fc
  .tuple(
    objectText,
    fc.array(
      fc.record({
        at: fc.nat(),
        cut: fc.nat(3),
        put: fc.oneof(
          fc.constantFrom('"', "\\", "{", "}", "[", "]", ",", ":", "1", "\n", '"model":1,'),
          fc.string({ unit: "binary", maxLength: 2 }),
        ),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  )
  .map(([text, edits]) =>
    edits.reduce((current, { at, cut, put }) => {
      const index = at % (current.length + 1);
      return current.slice(0, index) + put + current.slice(index + cut);
    }, text),
  );

describe("hostile bodies", () => {
  test("accepts what JSON.parse accepts; what it accepts beyond lies within a value (property)", () => {
    fc.assert(
      fc.property(mutated, (text) => {
        fc.pre(!text.startsWith("\ufeff"));
        const body = bytesOf(text);
        const result = outcome(() => scanRequestHead(body));
        const value = parsed(textOf(body));
        if (typeof result === "string") {
          const ours = /twice|__proto__|"model" has to be/.test(result);
          if (!ours) expect(isObject(value)).toBe(false);
          return;
        }
        const head = scanRequestHead(body);
        if (value !== undefined) {
          expect(isObject(value) && (value.model ?? null)).toBe(head.model);
          return;
        }
        let shell = textOf(body);
        for (let index = head.members.length / STRIDE - 1; index >= 0; index--) {
          const { valueStart, valueEnd } = memberAt(head.members, index);
          if (!/["[{]/.test(String.fromCharCode(body[valueStart] ?? 0))) continue;
          const before = textOf(bytesOf(shell).subarray(0, valueStart));
          shell = `${before}0${textOf(bytesOf(shell).subarray(valueEnd))}`;
        }
        expect(isObject(parsed(shell))).toBe(true);
      }),
      runs(2000),
    );
  });

  test("any bytes at all are read or refused, never worse (property)", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.string({ unit: fc.constantFrom(...'{}[]",:\\ 1n'), maxLength: 64 }).map(bytesOf),
    );
    fc.assert(
      fc.property(bytes, (body) => {
        outcome(() => scanRequestHead(body));
      }),
      runs(5000),
    );
  });

  test("steps of any size come to the same result (property)", () => {
    fc.assert(
      fc.property(fc.oneof(objectText, mutated), fc.integer({ min: 1, max: 40 }), (text, size) => {
        const body = bytesOf(text);
        expect(outcome(() => scanInSteps(body, size))).toEqual(
          outcome(() => scanRequestHead(body)),
        );
      }),
      runs(1000),
    );
  });

  test("a large body is read with pauses in between", async () => {
    let pauses = 0;
    const body = bytesOf(`{"messages":[${'"\\"[",'.repeat(500_000)}1],"model":"m"}`);
    const head = await scanRequestHeadInSlices(body, async () => {
      pauses++;
    });
    expect(head.model).toBe("m");
    expect(pauses).toBeGreaterThan(8);
  });
});
