import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { multipartModel } from "../../../src/core/body/multipart.ts";
import { ProxyError } from "../../../src/core/errors.ts";
import { runs } from "../fuzz.ts";
import { bytesOf } from "./json-text.ts";

const TYPE = "multipart/form-data; boundary=b";

/** The text of a body with these parts, each its headers, an empty line and its content. */
const body = (...parts: string[]): string =>
  `${parts.map((part) => `--b\r\n${part}\r\n`).join("")}--b--\r\n`;
const field = (name: string, value: string): string =>
  `Content-Disposition: form-data; name="${name}"\r\n\r\n${value}`;
const file = (name: string, content: string): string =>
  `Content-Disposition: form-data; name="${name}"; filename="a;name=model"\r\nContent-Type: audio/wav\r\n\r\n${content}`;

const model = (text: string, type = TYPE): string | null =>
  multipartModel(bytesOf(text), type)?.model ?? null;

describe("the model field", () => {
  test("as fetch and FormData write it, beside a file", async () => {
    const form = new FormData();
    form.append("file", new Blob([new Uint8Array(100_000).fill(13)]), 'a"b.wav');
    form.append("model", "whisper-世界");
    form.append("language", "de");
    const sent = new Response(form);
    const type = sent.headers.get("content-type") ?? "";
    expect(multipartModel(await sent.bytes(), type)?.model).toBe("whisper-世界");
  });

  test.each([
    [body(field("model", "m")), "m"],
    [body(field("model", "")), ""],
    [body(field("model", "a\r\n--c\r\n")), "a\r\n--c\r\n"],
    [body(file("file", field("model", "no")), field("model", "m")), "m"],
    [body(file("model", "no")), null],
    [body(field("models", "no"), field("x", 'name="model"')), null],
    [body("\r\nno headers"), null],
    [body("content-disposition:form-data;NAME=model\r\nX-Y: z\r\n\r\nm"), "m"],
    [`preamble\r\n${body(field("model", "m"))}epilogue --b`, "m"],
    ["--b--", null],
  ])("%j", (text, expected) => {
    expect(model(text)).toBe(expected);
  });

  test.each([
    'multipart/form-data; boundary="b"',
    "multipart/form-data;charset=utf-8 ; Boundary=b ",
    'Multipart/Form-Data; x="; boundary=c"; boundary=b',
  ])("boundary from %s", (type) => {
    expect(model(body(field("model", "m")), type)).toBe("m");
  });

  test("a view into a larger buffer is read where it begins", () => {
    const bytes = bytesOf(`xx${body(field("model", "m"))}yy`);
    expect(multipartModel(bytes.subarray(2, -2), TYPE)?.model).toBe("m");
  });
});

describe("what is refused", () => {
  test.each([
    ["", "does not end"],
    ["--b\r\n", "headers do not end"],
    [`--b\r\n${field("model", "m")}`, "does not end"],
    [`--b\r\n${field("model", "m")}\r\n--bc`, "middle of a line"],
    [body(field("model", "m"), field("model", "m")), "twice"],
    [body('Content-Disposition: form-data; name="a"; name="model"\r\n\r\nm'), "twice"],
    [body('Content-Disposition: form-data; name="a"b; name="model"\r\n\r\nm'), "parameters"],
    [
      body('Content-Disposition: form-data; name="model"\r\ncontent-disposition: x\r\n\r\nm'),
      "two Content-Disposition",
    ],
    [body('Content-Disposition: form-data;\r\n name="model"\r\n\r\nm'), "part header"],
    [body(`no header\r\n--b\r\n${field("model", "m")}`), "part header"],
    [body(`X: ${"x".repeat(20_000)}\r\n\r\n`), "headers do not end"],
    [body(field("model", "m".repeat(5000))), "longer than"],
    [body(...Array(1001).fill(field("x", "y"))), "more than 1000 parts"],
  ])("refusal %#", (text, complaint) => {
    expect(() => model(text)).toThrow(complaint);
    expect(() => model(text)).toThrow(ProxyError);
  });

  test("a model that is not UTF-8", () => {
    const bytes = bytesOf(body(field("model", "x")));
    bytes[bytes.lastIndexOf(0x78)] = 0xff;
    expect(() => multipartModel(bytes, TYPE)).toThrow("UTF-8");
  });

  test.each([
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary="b',
    "multipart/form-data; boundary=b; boundary=c",
    `multipart/form-data; boundary=${"b".repeat(71)}`,
  ])("the content type %s", (type) => {
    expect(() => model(body(field("model", "m")), type)).toThrow(/boundary|parameters/);
  });
});

test("whatever stands beside it, the field is found (property)", () => {
  const content = fc
    .string({
      unit: fc.constantFrom("\r", "\n", "-", "-b", "x", '"', ";", "=", "é"),
      maxLength: 30,
    })
    .filter((text) => !`\r\n${text}`.includes("\r\n--b"));
  const other = fc
    .tuple(fc.constantFrom("file", "x", "Model"), content, fc.boolean())
    .map(([name, text, isFile]) => (isFile ? file(name, text) : field(name, text)));
  fc.assert(
    fc.property(fc.array(other), fc.array(other), content, (before, after, value) => {
      expect(model(body(...before, field("model", value), ...after))).toBe(value);
    }),
    runs(500),
  );
});

test("any bytes at all are read or refused, never worse (fuzzer)", () => {
  const pieces = fc.constantFrom(
    ...["--b", "\r\n", "--", "\r\n--b\r\n", "\r\n--b--", "\r\n\r\n", ":", ";", "=", '"', "\\", " "],
    ...["Content-Disposition: form-data", '; name="model"', "; filename=", "m", "\u0000"],
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), fc.string({ maxLength: 8 }), (parts, end) => {
      for (const type of [TYPE, `multipart/form-data; boundary=${end}`, `x;${parts.join("")}`]) {
        try {
          multipartModel(bytesOf(parts.join("")), type);
        } catch (error) {
          if (!(error instanceof ProxyError)) throw error;
        }
      }
    }),
    runs(3000),
  );
});
