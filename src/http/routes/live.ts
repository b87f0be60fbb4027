import { ProxyError } from "../../core/errors.ts";
import { failures } from "../docs/errors.ts";
import { liveStream } from "../live/stream.ts";
import { CONTENT_SECURITY_POLICY, etagOf, fileAnswer, staticAnswer } from "../static-answer.ts";
import { route } from "./route.ts";

/** On this page text never becomes markup: the browser refuses what would make it so. */
const POLICY = `${CONTENT_SECURITY_POLICY}; require-trusted-types-for 'script'; trusted-types 'none'`;

const ROW = { method: "GET", who: "anybody" } as const;

/** The page for people, and what it is told. Whoever it is not for is led to /docs from there. */
export const liveRoutes = [
  route({
    ...ROW,
    path: "/",
    needsNoHost: true,
    detail: {
      tags: ["Documentation"],
      operationId: "getRoot",
      summary: "The live page for browsers; others are led to /docs",
      description:
        "Nodes, what runs on them and what failed, as it happens. The page itself is open to all and " +
        "empty: what it shows, it asks of /debug/live.",
      responses: {
        "200": {
          description: "The page, where `Accept` names text/html",
          content: { "text/html": { schema: { type: "string" } } },
        },
        "302": {
          description: "To /docs",
          headers: { Location: { schema: { type: "string" }, example: "/docs" } },
        },
      },
    },
    answer: async ({ request }) => {
      const vary = { vary: "Accept" };
      if (!/\btext\/html\b/i.test(request.headers.get("accept") ?? "")) {
        return new Response(null, { status: 302, headers: { location: "/docs", ...vary } });
      }
      const { PAGE } = await import("../live/assets.ts");
      return await fileAnswer(PAGE, request, { ...vary, "content-security-policy": POLICY });
    },
  }),
  route({
    ...ROW,
    path: "/live/:file",
    // What the page is made of.
    detail: { hide: true },
    answer: async ({ params, request }) => {
      const { ASSETS, SCRIPT } = await import("../live/assets.ts");
      const { file = "" } = params;
      if (file === "main.js") {
        return staticAnswer(SCRIPT, etagOf(SCRIPT), "text/javascript; charset=utf-8", request);
      }
      const asset = ASSETS.get(file);
      if (asset === undefined)
        throw new ProxyError("not_found", "There is nothing here; see /docs.");
      return await fileAnswer(asset, request);
    },
  }),
  route({
    method: "GET",
    path: "/debug/live",
    goesOn: true,
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "watch",
      summary: "What the page at / is told: nodes, requests and failures as they change",
      description:
        "Lines of JSON without an end: first all there is, then each second what has changed. Its " +
        "shape is the page's own and may change with any release; programs read /nodes/status, " +
        "/debug/requests and /metrics. At most 32 may read it at once.",
      responses: {
        "200": {
          description: "What is, and what changes",
          content: { "application/x-ndjson": { schema: { type: "string" } } },
        },
        ...failures(["invalid_api_key", "forbidden", "internal_error", "service_unavailable"]),
      },
    },
    // Its answer has no end.
    refusesHead: true,
    answer: (_, { live }) => liveStream(live),
  }),
];
