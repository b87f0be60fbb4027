import { describe, expect, test } from "bun:test";
import { parse } from "./parse.ts";

function warnings(env: Readonly<Record<string, string>>): string[] {
  return parse("", { env }).notes.map(({ text }) => text);
}

test("a variable that looks like ours and is not is named, with the nearest and without its value", () => {
  expect(warnings({ LMPROXY_STRATGY: "canary" })).toEqual([
    "LMPROXY_STRATGY is no variable of lmproxy's; did you mean LMPROXY_STRATEGY?",
  ]);
  expect(warnings({ LMPROXY_XYZZY: "canary" })).toEqual([
    "LMPROXY_XYZZY is no variable of lmproxy's; see lmproxy serve --help",
  ]);
});

describe("nothing is said of", () => {
  test.each([
    ["LMPROXY_STRATEGY", "random"],
    ["LMPROXY_STRATGY", ""],
    ["LMPROXY_ENGINE_PORT", "1"],
    ["LMPROXY_LAB_SEEDS", "1"],
    ["LMPROXY_PROXY_URL", "http://127.0.0.1:8000"],
    ["LMPROXY_PORT", "tcp://10.0.0.1:8000"],
    ["LMPROXY_SERVICE_HOST", "10.0.0.1"],
    ["LMPROXY_SERVICE_PORT", "8000"],
    ["LMPROXY_SERVICE_PORT_HTTP", "8000"],
    ["LMPROXY_PORT_8000_TCP", "tcp://10.0.0.1:8000"],
    ["LMPROXY_PORT_8000_TCP_ADDR", "10.0.0.1"],
    ["LMPROXY_METRICS_SERVICE_HOST", "10.0.0.1"],
    ["HOME", "/home/u"],
  ])("%s=%s", (name, value) => {
    expect(warnings({ [name]: value })).toEqual([]);
  });
});
