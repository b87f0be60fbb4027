/** Says what is wrong with a body. Elysia names of a union no more than its types, repeats the value, however long, and fails on some. */
import { KindGuard, OptionalKind, type TSchema } from "@sinclair/typebox";
import { Value, type ValueError } from "@sinclair/typebox/value";
import { ProxyError } from "../core/errors.ts";

/** @throws ProxyError invalid_request with the first thing wrong with a body that does not fit its schema. */
export function refuseUnlessFitting(schema: TSchema, body: unknown): void {
  if ((body === undefined || body === null) && OptionalKind in schema) return;
  // What nobody asked for is no mistake: engines and other routers' scripts send more than is read here.
  const first = Value.Errors(schema, Value.Clean(schema, body)).First();
  if (first === undefined) return;
  const { path, message, schema: expected } = nearest(first);
  const reason = KindGuard.IsUnion(expected) ? `Expected ${alternatives(expected)}` : message;
  throw new ProxyError("invalid_request", `${path || "The body"}: ${reason}; see /docs.`);
}

/** Within a union: what is wrong with the alternative that fits furthest, if one fits at all. */
function nearest(error: ValueError): ValueError {
  for (const errors of error.errors) {
    const first = errors.First();
    if (first === undefined) continue;
    const found = nearest(first);
    if (found.path.length > error.path.length || isOfItsType(found)) return found;
  }
  return error;
}

/** Whether a text is no such text, and not no text at all. */
function isOfItsType({ schema, value }: ValueError): boolean {
  const type = Array.isArray(value) ? "array" : typeof value;
  return schema.type === type && !KindGuard.IsLiteral(schema);
}

function alternatives(schema: TSchema): string {
  if (KindGuard.IsUnion(schema)) return schema.anyOf.map(alternatives).join(" or ");
  return KindGuard.IsLiteral(schema) ? JSON.stringify(schema.const) : String(schema.type);
}
