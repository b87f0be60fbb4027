/** A row of the table decides who may call a route, what it answers and how it is described. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { parseServeConfig } from "../../src/config/serve-config.ts";
import type { Who } from "../../src/http/access.ts";
import { createApp } from "../../src/http/app.ts";
import { documentOf } from "../../src/http/docs/document.ts";
import { front } from "../../src/http/front.ts";
import { ROUTES } from "../../src/http/routes/index.ts";
import { type Route, route } from "../../src/http/routes/route.ts";
import { RouteTable } from "../../src/http/routes/table.ts";
import { Log } from "../../src/observe/log.ts";
import { assemble } from "../../src/proxy/assemble.ts";
import { placementRoutes } from "./example-route.ts";

setDefaultTimeout(60_000);

const detail = { hide: true };

function get(path: string, who: Who): Route {
  return route({ method: "GET", path, who, detail, answer: () => ({ here: path }) });
}

/** What a row may not be, but could be made of something that no compiler has seen. */
const nobody: Who = JSON.parse('"nobody at all"');

const ADDED: readonly Route[] = [
  ...placementRoutes,
  get("/nodes/open", "anybody"),
  get("/v1/for-administrators", "administrator"),
  get("/forgotten", nobody),
  get("/parts/:part", "anybody"),
];

let server: Bun.Server<undefined>;
let errors = "";

beforeAll(() => {
  const flags = ["--port", "0", "--api-keys", "sk-client", "--admin-key", "sk-admin"];
  const parsed = parseServeConfig(flags, {}, () => "");
  if (parsed.help !== null) throw new Error("no configuration");
  const log = new Log({
    level: "info",
    format: "json",
    sink: {
      write: (line) => {
        errors += line;
      },
      lost: 0,
    },
  });
  const { services } = assemble(parsed.config, log, {
    port: () => server.port ?? 0,
    pendingRequests: () => server.pendingRequests,
    server: () => server,
    stateLocked: () => null,
    stateProblem: () => null,
  });
  const routes = [...ROUTES, ...ADDED];
  const table = new RouteTable(routes);
  const app = createApp(routes, table, services);
  const { ids } = services;
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: front({ table, ids, origins: null, answer: (request) => app.fetch(request) }),
  });
});

afterAll(async () => {
  await server.stop(true);
  expect(errors).toBe("");
});

function ask(path: string, init: BunFetchRequestInit = {}): Promise<Response> {
  return fetch(server.url.origin + path, init);
}

function withKey(key: string, more: BunFetchRequestInit = {}): BunFetchRequestInit {
  return { ...more, headers: { authorization: `Bearer ${key}` } };
}

test("a row without a word on who may call it does not compile", () => {
  type Compiles = Omit<Route, "who"> extends Route ? true : false;
  const compiles: Compiles = false;
  expect(compiles).toBe(false);
});

test("two rows for one method and path do not start", () => {
  const twice = [get("/a", "anybody"), get("/a", "administrator")];
  expect(() => new RouteTable(twice)).toThrow("GET /a has two rows");
});

describe("access is the row's, whatever its path begins with:", () => {
  test.each([
    ["/nodes/open", [200, 200, 200]],
    ["/v1/for-administrators", [401, 401, 200]],
    ["/forgotten", [403, 403, 403]],
  ])("%s", async (path, expected) => {
    const answers = [
      await ask(path),
      await ask(path, withKey("sk-client")),
      await ask(path, withKey("sk-admin")),
    ];
    expect(answers.map(({ status }) => status)).toEqual(expected);
  });

  test("so is whether other origins' pages may ask and read", async () => {
    const origin = "https://page.test";
    for (const [path, may] of [
      ["/nodes/open", true],
      ["/v1/for-administrators", false],
      ["/forgotten", false],
    ] as const) {
      const headers = { origin, "access-control-request-method": "GET" };
      const preflight = await ask(path, { method: "OPTIONS", headers });
      const answer = await ask(path, { headers: { origin } });
      const allowed = [preflight, answer].map(({ headers: got }) =>
        got.has("access-control-allow-origin"),
      );
      expect([path, ...allowed]).toEqual([path, may, may]);
    }
  });
});

describe("the example of ARCHITECTURE.md", () => {
  test("is the one that is tested here", async () => {
    const page = await Bun.file(`${import.meta.dir}/../../ARCHITECTURE.md`).text();
    const code = await Bun.file(`${import.meta.dir}/example-route.ts`).text();
    const shown = code
      .replace('"../../src/http/docs/errors.ts"', '"../docs/errors.ts"')
      .replace('"../../src/http/routes/route.ts"', '"./route.ts"');
    const indented = shown.replaceAll(/^(?=.)/gm, "  ");
    expect(page).toContain(`  \`\`\`ts\n${indented}  \`\`\``);
  });

  test("answers administrators only, and before that reads nothing", async () => {
    const body = '{"model":"m"}';
    expect((await ask("/placement", { method: "POST", body: "no JSON" })).status).toBe(401);
    const client = await ask("/placement", withKey("sk-client", { method: "POST", body }));
    expect(client.status).toBe(401);
    const answer = await ask("/placement", withKey("sk-admin", { method: "POST", body }));
    expect([answer.status, await answer.json()]).toEqual([200, { nodes: [] }]);
    const wrong = await ask("/placement", withKey("sk-admin", { method: "POST", body: "{}" }));
    expect(wrong.status).toBe(400);
  });

  test("has an Allow and a place in the document, with the key it needs", async () => {
    const refused = await ask("/placement");
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "POST, OPTIONS"]);
    const document = JSON.parse(JSON.stringify(await documentOf([...ROUTES, ...ADDED])));
    expect(document.paths["/placement"].post).toMatchObject({
      operationId: "findPlacement",
      security: [{ adminKey: [] }],
      requestBody: {
        content: {
          "application/json": { schema: { required: ["model"], properties: { model: {} } } },
        },
      },
    });
  });
});

test("a part of a path that cannot be decoded is the client's mistake", async () => {
  const answer = await fetch(`${server.url.origin}/parts/%zz`);
  expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining("stray %")]);
  expect((await fetch(`${server.url.origin}/parts/a%2Fb`)).status).toBe(200);
});
