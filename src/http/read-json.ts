import { ProxyError } from "../core/errors.ts";
import { type BodyLimits, letGo, readBody } from "./read-body.ts";

/**
 * The JSON value of an administrative request's body; undefined when it is empty.
 * @throws ProxyError as `readBody`, or invalid_request when it is no JSON.
 */
export async function readJson(request: Request, limits: BodyLimits): Promise<unknown> {
  const body = await readBody(request, limits);
  try {
    if (body.length === 0) return undefined;
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new ProxyError("invalid_request", "The body is not valid JSON in UTF-8; see /docs.");
  } finally {
    letGo(body, limits.memory);
  }
}
