import { ProxyError } from "../../core/errors.ts";
import { openRequests } from "../../observe/open-requests.ts";
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
    attempts: 1,
    bytes_in: 8123,
    bytes_out: 20480,
    last_byte_age_s: 0.03,
  },
];

/** What the proxy does just now. */
export const debugRoutes = [
  route({
    method: "GET",
    path: "/debug/requests",
    who: "administrator",
    detail: {
      tags: ["Health"],
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
    answer: (_, { exchanges, now }) => openRequests(exchanges, now()),
  }),
  route({
    method: "DELETE",
    path: "/debug/requests/:id",
    who: "administrator",
    detail: {
      tags: ["Health"],
      operationId: "cancelRequest",
      summary: "Cancel a request: all that run by this id",
      description:
        "Its client gets an error (503), or one last error event and a broken connection when its " +
        "answer has begun. Its engine is free at once; of DistServe's prefills the answer is still " +
        "read, since only that tells which KV blocks are to be freed.",
      responses: {
        ...ok("Cancelled", { cancelled: 1 }, "They are cancelled"),
        ...failures(["not_found", "invalid_api_key", "forbidden", "internal_error"]),
      },
    },
    response: Cancelled,
    answer: ({ params }, { exchanges }) => {
      const { id = "" } = params;
      const cancelled = exchanges.cancel(id);
      if (cancelled > 0) return { cancelled };
      throw new ProxyError(
        "not_found",
        `No request runs or waits by the id ${id.slice(0, 128)}; see /debug/requests.`,
        { param: "id" },
      );
    },
  }),
];
