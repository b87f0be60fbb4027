/** What clients are told whose body cannot be read. */
import { ProxyError } from "../errors.ts";

export function notAnObject(): ProxyError {
  return new ProxyError(
    "invalid_request",
    'The body is not a JSON object. Send one, such as {"model": "…"}.',
  );
}

export function namedTwice(name: string): ProxyError {
  return new ProxyError("invalid_request", `The body names "${name}" twice. Send it once.`, {
    param: name,
  });
}

export function modelNotString(): ProxyError {
  return new ProxyError("invalid_request", '"model" has to be a string, the name of a model.', {
    param: "model",
  });
}
