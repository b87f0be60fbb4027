/** Which kept response or conversation a request to OpenAI's Responses goes on from. */
import { LONGEST_ID } from "../kept-id.ts";
import { smallValue } from "./member-spans.ts";
import type { RequestHead } from "./request-head.ts";

/** `previous_response_id`, then `conversation` (an id, or an object with one). */
export function referredIds(body: Uint8Array, { members }: RequestHead): readonly string[] {
  const conversation = smallValue(body, members, "conversation");
  const ids = [smallValue(body, members, "previous_response_id"), idOf(conversation)];
  return ids.filter((id): id is string => typeof id === "string" && isId(id));
}

function idOf(value: unknown): unknown {
  return typeof value === "object" && value !== null && "id" in value ? value.id : value;
}

/** Whether it may be the id of something that is kept, and can stand in a path as it is. */
export function isId(text: string): boolean {
  return text.length <= LONGEST_ID && /^\w[\w.-]*$/.test(text);
}
