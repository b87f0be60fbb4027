/** `/v1/responses/ID` and what is below it, of engines that keep responses. */
import { type Answer, EngineRefusal, jsonAnswer } from "../answer.ts";
import type { Call } from "../call.ts";
import { notServed } from "../errors.ts";
import type { KeptResponses } from "../kept-responses.ts";

const BELOW = "/v1/responses/";

export function isKeptPath(path: string): boolean {
  return path.startsWith(BELOW);
}

export function keptResponse(kept: KeptResponses, { method, path }: Call): Answer {
  const [id = "", ...below] = path.slice(BELOW.length).split("/");
  const found = kept.get(id);
  const what = [method, ...below].join(" ");
  if (found === null) throw unknownResponse(id);
  switch (what) {
    case "GET":
      return jsonAnswer(found.response);
    case "DELETE":
      kept.delete(id);
      return jsonAnswer({ id, object: "response", deleted: true });
    case "POST cancel":
      throw new EngineRefusal(400, "Cannot cancel a synchronous response.", "response_id");
    case "GET input_items":
      return jsonAnswer({ object: "list", data: found.input, has_more: false });
    default:
      return notServed(404);
  }
}

export function unknownResponse(id: string): EngineRefusal {
  return new EngineRefusal(404, `Response with id '${id}' not found.`, "response_id");
}
