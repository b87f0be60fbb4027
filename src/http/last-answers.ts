/** How a server answers of which another has taken the place: to those who are connected to it still. */
import { pathOf, targetOf } from "./request-target.ts";
import type { RouteTable } from "./routes/table.ts";

export interface LastAnswersOptions {
  /** Whether another has taken its place. */
  readonly leaves: () => boolean;
  /** Whether that is another process, which keeps the nodes from now on. */
  readonly nodesMoved: () => boolean;
  readonly table: Pick<RouteTable, "changesNodes">;
}

/**
 * Answers as ever, and once another has taken the place asks clients to connect anew for their next
 * request, also those that had sent one before. What changes nodes is sent to the process that keeps them:
 * 307 makes the client repeat its call, on another connection.
 */
export function lastAnswers(
  answer: (request: Request) => Response | Promise<Response>,
  { leaves, nodesMoved, table }: LastAnswersOptions,
): (request: Request) => Response | Promise<Response> {
  const last = (response: Response) => {
    if (leaves()) response.headers.set("connection", "close");
    return response;
  };
  return (request) => {
    if (leaves() && nodesMoved()) {
      const target = targetOf(request);
      if (table.changesNodes(request.method, pathOf(target))) {
        return last(new Response(null, { status: 307, headers: { location: target } }));
      }
    }
    const answered = answer(request);
    return answered instanceof Response ? last(answered) : answered.then(last);
  };
}
