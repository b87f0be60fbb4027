import { t } from "elysia";
import { ProxyError } from "../../core/errors.ts";
import { failures } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import { Upgraded } from "../setting-schemas.ts";
import { route } from "./route.ts";

const EXAMPLE = {
  message: "All workers are of version 1.3.0 now; they were of 1.2.0.",
  from: "1.2.0",
  to: "1.3.0",
};

/** For a proxy of several workers. */
export const upgradeRoutes = [
  route({
    method: "POST",
    path: "/upgrade",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "upgrade",
      summary: "Replace the workers by the executable that lies in its place now",
      description:
        "One after the other, with no connection refused and no answer cut: an old worker finishes what " +
        "it has, for `--keep-alive`, 9 s and `--drain-timeout`. Answered when the last new one serves. When the first does not " +
        "come up, nothing changes (502). 400 without `--workers`. With `supervisor=true` the process is " +
        "replaced, too, that knows the nodes, as by `--takeover`: this needs a state file.",
      responses: {
        ...ok("Upgraded", EXAMPLE, "They are replaced"),
        ...failures([
          "invalid_request",
          "upstream_error",
          "invalid_api_key",
          "forbidden",
          "internal_error",
        ]),
      },
    },
    query: t.Object({ supervisor: t.Optional(t.Literal("true")) }),
    response: Upgraded,
    answer: async ({ query }, { upgrade }) => {
      if (upgrade === null) {
        throw new ProxyError(
          "invalid_request",
          "This proxy has no workers; start it with --workers.",
        );
      }
      const isAll = query.supervisor === "true";
      const { from, to } = await upgrade(isAll ? "all" : "workers");
      const what = isAll ? "The supervisor and all workers" : "All workers";
      const message = `${what} are of version ${to} now; they were of ${from}.`;
      return { message, from, to };
    },
  }),
];
