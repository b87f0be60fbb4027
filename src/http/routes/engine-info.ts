import { ProxyError } from "../../core/errors.ts";
import { serveTheSame } from "../../core/pool/model-index.ts";
import type { Node } from "../../core/pool/node.ts";
import { ask } from "../../upstream/ask.ts";
import { failures } from "../docs/errors.ts";
import type { Services } from "../services.ts";
import { type AnsweringRoute, route } from "./route.ts";

const TIMEOUT_MS = 30_000;
const MAX_BYTES = 4 * 1024 * 1024;
/** Nodes that are asked, one after the other, before the client is told that none answers. */
const MOST_TRIES = 3;

/** What scripts ask an engine of itself, answered by one node. */
export const engineInfoRoutes: readonly AnsweringRoute[] = [
  row("/health_generate", "Whether a node generates", true),
  row("/get_model_info", "What a node says of its model (SGLang)", false),
  row("/model_info", "What a node says of its model (SGLang)", false),
  row("/get_server_info", "What a node says of its settings (SGLang)", true),
  row("/server_info", "What a node says of its settings", true),
  row("/version", "The version of a node's engine", true),
];

/** @param anyNode whether nodes of several models may answer in each other's place */
function row(path: string, summary: string, anyNode: boolean): AnsweringRoute {
  return route({
    method: "GET",
    path,
    who: "client",
    detail: {
      tags: ["Models"],
      operationId: `ask${path.replaceAll(/\W/g, "_")}`,
      summary,
      description: "`?model=` says of which model. The engine's own answer, whatever its shape.",
      parameters: [{ name: "model", in: "query", schema: { type: "string" } }],
      responses: {
        "200": {
          description: "The engine's answer",
          content: { "application/json": { schema: {} }, "text/plain": { schema: {} } },
        },
        ...failures([
          "invalid_request",
          "invalid_api_key",
          "model_not_found",
          "service_unavailable",
          "upstream_error",
        ]),
      },
    },
    answer: ({ request }, services) => {
      const asked = new URL(request.url).searchParams.get("model");
      const model = asked === null ? null : services.aliases.ownName(asked);
      return askOne(path, nodesFor(model, asked, anyNode, services), services);
    },
  });
}

function nodesFor(
  model: string | null,
  called: string | null,
  anyNode: boolean,
  services: Services,
): Node[] {
  const { registry, now } = services;
  const nodes = registry.nodes().filter(({ models }) => model === null || models.includes(model));
  if (nodes.length === 0 && model !== null) {
    throw new ProxyError("model_not_found", `No node serves the model \`${called}\`.`, {
      param: "model",
    });
  }
  if (!anyNode && !serveTheSame(nodes)) {
    throw new ProxyError(
      "invalid_request",
      `Say of which model, by ?model=: ${registry.models().join(", ")}.`,
      { param: "model" },
    );
  }
  const routable = nodes.filter(({ health }) => health.routable(now()));
  if (routable.length > 0) return routable.slice(0, MOST_TRIES);
  throw new ProxyError("service_unavailable", "No node can be asked now; see /nodes/status.", {
    retryAfterS: 1,
  });
}

async function askOne(path: string, nodes: readonly Node[], services: Services): Promise<Response> {
  const { engineHeaders: headers, fetch, sharedQuestions } = services;
  const options = { timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES, headers, fetch };
  let why = "";
  for (const { url } of nodes) {
    const answer = await sharedQuestions.answer(url + path, () => ask(url + path, options));
    if ("status" in answer) {
      const type = /^\s*[[{]/.test(answer.body) ? "application/json" : "text/plain";
      return new Response(answer.body, {
        status: answer.status,
        headers: { "content-type": type },
      });
    }
    why = answer.detail;
  }
  throw new ProxyError("upstream_error", `No engine answered ${path} (${why}).`);
}
