import { openRequests } from "../../observe/open-requests.ts";
import { failures } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import { OpenRequests } from "../schemas.ts";
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
];
