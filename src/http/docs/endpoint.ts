import type { Dialect } from "../../core/errors.ts";
import type { CHAT_SCHEMAS } from "./chat-schemas.ts";
import type { ENGINE_SCHEMAS } from "./engine-schemas.ts";

export type BodySchema = keyof typeof CHAT_SCHEMAS | keyof typeof ENGINE_SCHEMAS;

/** What there is to say about one inference path; the rest is the same for all of them. */
export interface Endpoint {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  /** How the proxy's own errors are drawn; OpenAI's way by default. */
  readonly dialect?: Dialect;
  readonly request: BodySchema;
  /** Bodies to try, by a short name. */
  readonly requests: Readonly<
    Record<string, { readonly summary: string; readonly value: Readonly<Record<string, unknown>> }>
  >;
  readonly answer: BodySchema;
  readonly answered: object;
  /** A streamed answer, shortened, where there is one. */
  readonly streamed?: string;
}
