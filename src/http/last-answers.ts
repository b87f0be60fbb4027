/** How a process answers of which another has taken the place: to those who are connected to it still. */
import { pathOf, targetOf } from "./request-target.ts";
import type { RouteTable } from "./routes/table.ts";

/**
 * Answers as ever and asks the client to connect anew for its next request. What changes nodes is sent to
 * the new process, which keeps them: 307 makes the client repeat its call, on another connection.
 * @param table Null where a process keeps them that stays.
 */
export async function lastAnswer(
  request: Request,
  table: RouteTable | null,
  answer: (request: Request) => Response | Promise<Response>,
): Promise<Response> {
  const target = targetOf(request);
  const response = table?.changesNodes(request.method, pathOf(target))
    ? new Response(null, { status: 307, headers: { location: target } })
    : await answer(request);
  response.headers.set("connection", "close");
  return response;
}
