import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { drawLine, LINE_FORMATS } from "../../src/observe/line-format.ts";

const AT_MS = Date.UTC(2026, 10, 28, 3, 4, 5, 678);

describe("a line of the log", () => {
  test.each([
    [
      "json",
      '{"ts":"2026-11-28T03:04:05.678Z","level":"info","msg":"request","model":"a b","status":200,"stream":true}\n',
    ],
    [
      "logfmt",
      'ts=2026-11-28T03:04:05.678Z level=info msg=request model="a b" status=200 stream=true\n',
    ],
    ["text", '03:04:05.678 INFO    request model="a b" status=200 stream=true\n'],
  ] as const)("as %s", (format, line) => {
    const fields = { model: "a b", status: 200, stream: true, node: null, error: undefined };
    expect(drawLine(format, AT_MS, "info", "request", fields)).toBe(line);
  });

  test.each([...LINE_FORMATS])("is one line of %s, whatever clients send", (format) => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (model) => {
        const line = drawLine(format, AT_MS, "warning", "request", { model, status: 200 });
        expect(line.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        expect(line).toEndWith(format === "json" ? ',"status":200}\n' : " status=200\n");
      }),
    );
  });

  test.each(["warning", "error"] as const)(
    "at %s is found as the runbooks say, in a service's log",
    async (level) => {
      const runbooks = await Bun.file("docs/runbooks.md").text();
      const pattern = /journalctl .*grep (?:-E )?'?([^' ]+)/.exec(runbooks)?.[1] ?? "none";
      expect(drawLine("json", AT_MS, level, "node is out", {})).toMatch(new RegExp(pattern));
      expect(drawLine("json", AT_MS, "info", "request", {})).not.toMatch(new RegExp(pattern));
    },
  );

  test("of JSON gives back what was put in", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (model) => {
        const read: unknown = JSON.parse(drawLine("json", AT_MS, "info", "x", { model }));
        expect(read).toMatchObject({ model });
      }),
    );
  });
});
