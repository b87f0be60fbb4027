import type { DocumentDecoration } from "elysia";
import { isId } from "../../core/body/referred-ids.ts";
import type { ErrorKind } from "../../core/errors.ts";
import { ProxyError } from "../../core/errors.ts";
import { failures } from "../docs/errors.ts";
import type { InferenceRoute } from "./route.ts";

type Parameter = NonNullable<DocumentDecoration["parameters"]>[number];

/** How a row is called, and what it does. */
type Words = readonly [operationId: string, summary: string];

const STREAMED: Parameter = {
  name: "stream",
  in: "query",
  description: "The events of a response that runs in the background",
  schema: { type: "boolean" },
};

const RESPONSE = { path: "/v1/responses/:id", noun: "response", example: "resp_1" };
const CONVERSATION = { path: "/v1/conversations/:id", noun: "conversation", example: "conv_1" };

/** What engines keep of OpenAI's Responses: asked of the node that answered, or of all until one has it. */
export const keptRoutes: readonly InferenceRoute[] = [
  row("GET", RESPONSE, "", ["getResponse", "Get a response that is kept"], [STREAMED]),
  row("DELETE", RESPONSE, "", ["deleteResponse", "Delete a response that is kept"]),
  row("POST", RESPONSE, "/cancel", [
    "cancelResponse",
    "Cancel a response that runs in the background",
  ]),
  row("GET", RESPONSE, "/input_items", [
    "listResponseInputItems",
    "List what a response was made from",
  ]),
  {
    method: "POST",
    path: "/v1/conversations",
    who: "client",
    detail: {
      tags: ["Chat"],
      operationId: "createConversation",
      summary: "Begin a conversation",
      description:
        "The engine that answers keeps it: what names it later goes there. Not every engine keeps " +
        "conversations.",
      requestBody: {
        required: true,
        content: { "application/json": { schema: {}, example: { metadata: { topic: "demo" } } } },
      },
      responses: answers(["invalid_request", "request_too_large", "unsupported_media_type"]),
    },
  },
  row("GET", CONVERSATION, "", ["getConversation", "Get a conversation"]),
  row("POST", CONVERSATION, "", [
    "updateConversation",
    "Change what a conversation is marked with",
  ]),
  row("DELETE", CONVERSATION, "", ["deleteConversation", "Delete a conversation"]),
  row("GET", CONVERSATION, "/items", ["listConversationItems", "List a conversation's items"]),
  row("POST", CONVERSATION, "/items", ["createConversationItems", "Add items to a conversation"]),
  row("GET", CONVERSATION, "/items/:item", ["getConversationItem", "Get a conversation's item"]),
  row("DELETE", CONVERSATION, "/items/:item", [
    "deleteConversationItem",
    "Delete a conversation's item",
  ]),
];

function row(
  method: InferenceRoute["method"],
  { path, noun, example }: typeof RESPONSE,
  below: string,
  [operationId, summary]: Words,
  parameters: readonly Parameter[] = [],
): InferenceRoute {
  const item = below.includes(":item") ? [pathParameter("item", "msg_1")] : [];
  return {
    method,
    path: path + below,
    who: "client",
    asksFor: (asked) => {
      const [, , , id = "", , itemId] = asked.split("/");
      const wrong = isId(id) ? (itemId === undefined || isId(itemId) ? null : "item") : "id";
      if (wrong === null) return id;
      const what = wrong === "id" ? noun : "item";
      throw new ProxyError("not_found", `No ${what} has such an id.`, { param: wrong });
    },
    detail: {
      tags: ["Chat"],
      operationId,
      summary,
      description:
        "Goes to the node that answered; where that is not known, to all, one after the other, until " +
        `one knows the ${noun}: 503 as long as some cannot be asked. Not every engine keeps ${noun}s.`,
      parameters: [pathParameter("id", example), ...item, ...parameters],
      responses: answers(["not_found"]),
    },
  };
}

function pathParameter(name: string, example: string): Parameter {
  return { name, in: "path", required: true, schema: { type: "string" }, example };
}

/** The engine's answers, and the failures that are ours, `more` among them. */
function answers(more: readonly ErrorKind[]): NonNullable<DocumentDecoration["responses"]> {
  return {
    "200": {
      description: "The engine's answer, unchanged",
      content: { "application/json": { schema: {} } },
    },
    ...failures([
      "invalid_api_key",
      ...more,
      "rate_limit_exceeded",
      "service_unavailable",
      "upstream_error",
    ]),
    default: {
      description: "What the engine answered, unchanged: that it keeps nothing of the kind.",
      content: { "application/json": { schema: {} } },
    },
  };
}
