import { ProxyError } from "../../core/errors.ts";
import { failures } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import { Cancelled, OpenRequests } from "../schemas.ts";
import { route } from "./route.ts";

const EXAMPLE = [
  {
    id: "req-7f1ca9d3e6fbed3146fba933",
    phase: "answering",
    age_s: 12.4,
    path: "/v1/chat/completions",
    model: "internlm2-chat-7b",
    client: "key:team-a",
    node: "http://10.0.0.7:23333",
    node_name: "h100-07",
    attempts: 1,
    bytes_in: 8123,
    bytes_out: 20480,
    last_byte_age_s: 0.03,
  },
];

const EXPLAINED = [
  {
    id: "req-7f1ca9d3e6fbed3146fba933",
    phase: null,
    began_at: "2026-11-28T03:04:05.678Z",
    client: "key:team-a",
    method: "POST",
    path: "/v1/chat/completions",
    model: "internlm2-chat-7b",
    stream: true,
    status: 200,
    outcome: "answered",
    error: null,
    admitted_ms: 1,
    first_byte_ms: 412,
    total_ms: 8_123,
    longest_gap_ms: 55,
    bytes_in: 8_123,
    bytes_out: 20_480,
    pieces: 160,
    prompt_tokens: 2_041,
    output_tokens: 158,
    cached_tokens: 1_792,
    attempts: [
      {
        node: "http://10.0.0.7:23333",
        node_name: "h100-07",
        sent_ms: 1,
        first_byte_ms: 412,
        outcome: "answered",
        status: 200,
        detail: null,
        choice: {
          why: "strategy",
          strategy: "min_cache_usage",
          candidates: 19,
          last_resort: false,
          best: [
            {
              node: "http://10.0.0.7:23333",
              node_name: "h100-07",
              score: 0.41,
              sample_age_ms: 3_120,
              seen: { load: 3, cache_usage: 0.4, cache_share: 0.01, weight: 1 },
            },
          ],
        },
      },
    ],
  },
];

/** What the proxy does just now, and what it has done. */
export const debugRoutes = [
  route({
    method: "GET",
    path: "/debug/requests",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "listRequests",
      summary: "Show the requests that run or wait, oldest first",
      description:
        "`reading`: its body comes; `waiting` for a place or a node; `sent` to a node that has not " +
        "begun to answer; `answering`.",
      responses: {
        ...ok("OpenRequests", EXAMPLE, "The requests"),
        ...failures(["invalid_api_key", "forbidden", "internal_error"]),
      },
    },
    response: OpenRequests,
    answer: async (_, { openRequests }) => await openRequests(),
  }),
  route({
    method: "GET",
    path: "/debug/requests/:id",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "explainRequest",
      summary: "Explain a request: its attempts and times, and why each node was chosen",
      description:
        "All by this id, which clients choose: those that run, then those that have ended, the latest " +
        "first, 100 at most. `--explain-memory` bounds what is kept; failures and the slowest stay " +
        "longest. The figures are those that the choice was made on.",
      responses: {
        ...ok("Explanations", EXPLAINED, "What is known"),
        ...failures(["not_found", "invalid_api_key", "forbidden", "internal_error"]),
      },
    },
    answer: async ({ params }, { explain }) => {
      const { id = "" } = params;
      const explained = await explain(id);
      if (explained.length > 0) return explained;
      throw new ProxyError(
        "not_found",
        `Nothing is known of the id ${id.slice(0, 128)}: it has not been here, or is forgotten ` +
          "(see --explain-memory).",
        { param: "id" },
      );
    },
  }),
  route({
    method: "DELETE",
    path: "/debug/requests/:id",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "cancelRequest",
      summary: "Cancel a request: all that run by this id",
      description:
        "Its client gets an error (503), or one last error event and a broken connection when its " +
        "answer has begun. What still comes of its body is not waited for. Its engine is free at once; of DistServe's prefills the answer is still " +
        "read, since only that tells which KV blocks are to be freed.",
      responses: {
        ...ok("Cancelled", { cancelled: 1 }, "They are cancelled"),
        ...failures(["not_found", "invalid_api_key", "forbidden", "internal_error"]),
      },
    },
    response: Cancelled,
    answer: async ({ params }, { cancel }) => {
      const { id = "" } = params;
      const cancelled = await cancel(id);
      if (cancelled > 0) return { cancelled };
      throw new ProxyError(
        "not_found",
        `No request runs or waits by the id ${id.slice(0, 128)}; see /debug/requests.`,
        { param: "id" },
      );
    },
  }),
];
