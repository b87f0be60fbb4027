/** A known path with another method: 405 with `Allow`, in the envelope. HEAD is GET without a body. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { INFERENCE_PATHS } from "../support/inference-paths.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";

const GET = "GET, HEAD, OPTIONS";
const POST = "POST, OPTIONS";

const PATHS: readonly (readonly [path: string, allow: string])[] = [
  ...INFERENCE_PATHS.map((path) => [path, POST] as const),
  ["/", GET],
  ["/health", GET],
  ["/liveness", GET],
  ["/ready", GET],
  ["/readiness", GET],
  ["/docs", GET],
  ["/openapi.json", GET],
  ["/v1/models", GET],
  ["/v1/models/org/name", GET],
  ["/anthropic/v1/models", GET],
  ["/nodes/status", GET],
  ["/nodes/add", POST],
  ["/nodes/remove", POST],
  ["/nodes/drain", POST],
  ["/nodes/terminate", POST],
  ["/nodes/terminate_all", "GET, OPTIONS"],
  ["/nodes/call", POST],
  ["/flush_cache", POST],
  ["/workers", "GET, POST, HEAD, OPTIONS"],
  ["/workers/x", "GET, DELETE, HEAD, OPTIONS"],
  ["/list_workers", GET],
];

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"];

let proxy: ProxyProcess;

beforeAll(async () => {
  proxy = await startProxy();
});

afterAll(async () => {
  await proxy.end("SIGKILL");
});

async function answerTo(method: string, path: string) {
  const { answers } = await sendRaw(proxy.port, postText(path, "{}").replace("POST", method));
  const [answer] = answers;
  if (answer === undefined) throw new Error(`no answer to ${method} ${path}`);
  return answer;
}

describe.each(PATHS)("%s", (path, allow) => {
  const wrong = METHODS.filter((method) => !allow.split(", ").includes(method));

  test.each([path, path === "/" ? path : `${path}/`])(
    "%s refuses every other method",
    async (spelled) => {
      for (const method of wrong) {
        const { status, headers, body } = await answerTo(method, spelled);
        expect([method, status, headers.get("allow")]).toEqual([method, 405, allow]);
        if (method === "HEAD") continue;
        const envelope = Object(JSON.parse(body));
        const isAnthropic = /messages|anthropic/.test(path);
        expect(envelope).toMatchObject(
          isAnthropic
            ? { type: "error", error: { type: "api_error" } }
            : { error: { code: "method_not_allowed", type: "invalid_request_error", param: null } },
        );
        const others = allow.split(", ").filter((one) => one !== "HEAD" && one !== "OPTIONS");
        expect(envelope.error.message).toBe(
          `${spelled} does not answer ${method}; use ${others.join(" or ")}.`,
        );
      }
    },
  );

  test("OPTIONS says which", async () => {
    const { status, headers, body } = await answerTo("OPTIONS", path);
    expect([status, headers.get("allow"), body]).toEqual([204, allow, ""]);
  });
});

test.each(PATHS.filter(([, allow]) => allow === GET).map(([path]) => path))(
  "HEAD %s answers as GET does, without the body",
  async (path) => {
    const [head, get] = [await answerTo("HEAD", path), await answerTo("GET", path)];
    expect(head.status).toBe(get.status);
    expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"));
    expect(head.body).toBe("");
  },
);

test.each([
  "/nope",
  "/v1",
  "/v1/nope",
  "/health/x",
  "//health",
  "/docs/nope",
  `/${"x".repeat(9_000)}`,
])("%s is unknown to GET, in few words", async (path) => {
  const { status, headers, body } = await answerTo("GET", path);
  expect([status, headers.get("allow")]).toEqual([404, null]);
  expect(Object(JSON.parse(body)).error.code).toBe("not_found");
  expect(body.length).toBeLessThan(500);
});
