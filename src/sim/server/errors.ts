/** Refusals in the shape that a client of this path, kind and release sees. */
import { type Answer, EngineRefusal, jsonAnswer, UnfitBody } from "./answer.ts";
import type { Settings } from "./settings.ts";

/** Whose words an error is in. */
export type Dialect = "flat" | "openai" | "anthropic" | "responses" | "llamacpp";

export function dialectOf({ kind, traits }: Settings, path: string): Dialect {
  if (kind === "llamacpp") return "llamacpp";
  if (path.startsWith("/v1/messages")) return "anthropic";
  if (kind !== "lmdeploy") return "openai";
  return path.startsWith("/v1/responses") && !traits.hasOldErrors ? "responses" : "flat";
}

export function errorAnswer(settings: Settings, path: string, refusal: EngineRefusal): Answer {
  if (
    refusal instanceof UnfitBody &&
    settings.kind === "lmdeploy" &&
    settings.traits.hasOldErrors
  ) {
    return unfitAnswer(refusal);
  }
  return jsonAnswer(errorBody(settings, dialectOf(settings, path), refusal), refusal.status);
}

/** The body of an error; in a stream the flat one stands under `error`. */
export function errorBody(settings: Settings, dialect: Dialect, refusal: EngineRefusal): object {
  const { message, status: code, param } = refusal;
  switch (dialect) {
    case "anthropic":
      return { type: "error", error: { type: anthropicType(code), message } };
    case "responses":
      return { error: { message, type: code === 401 ? INVALID : typeOf(code), param, code } };
    case "llamacpp":
      return { error: { code, message, type: code === 503 ? "unavailable_error" : typeOf(code) } };
    case "openai":
      return { error: { message, type: vllmType(code), param, code } };
    case "flat":
      return { message, type: flatType(settings, code), code, param, object: "error" };
  }
}

const INVALID = "invalid_request_error";

function flatType({ traits }: Settings, status: number): string {
  return traits.hasOldErrors ? INVALID : typeOf(status);
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 404) return "not_found_error";
  return status >= 500 ? "server_error" : INVALID;
}

function anthropicType(status: number): string {
  if (status === 503) return "overloaded_error";
  return status >= 500 ? "api_error" : typeOf(status);
}

function vllmType(status: number): string {
  if (status === 404) return "NotFoundError";
  if (status === 401) return "Unauthorized";
  if (status === 503) return "ServiceUnavailableError";
  return status >= 500 ? "InternalServerError" : "BadRequestError";
}

/** FastAPI's own answer to a body that does not fit its model. */
function unfitAnswer({ location, detail }: UnfitBody): Answer {
  return jsonAnswer(
    { detail: [{ type: "value_error", loc: ["body", ...location], msg: detail }] },
    422,
  );
}

/** What FastAPI says of a path or method it does not have. */
export function notServed(
  status: 404 | 405,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const detail = status === 404 ? "Not Found" : "Method Not Allowed";
  const answer = jsonAnswer({ detail }, status);
  return { ...answer, headers: { ...headers, ...answer.headers } };
}

export function unauthorized(settings: Settings, path: string): Answer {
  const { kind, traits } = settings;
  if (kind !== "lmdeploy" || traits.hasOldErrors) return jsonAnswer({ error: "Unauthorized" }, 401);
  return errorAnswer(settings, path, new EngineRefusal(401, "Unauthorized."));
}
