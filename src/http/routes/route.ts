import type { Static, TSchema } from "@sinclair/typebox";
import type { DocumentDecoration } from "elysia";
import type { Who } from "../access.ts";
import type { Services } from "../services.ts";

/** All that rows may have; what pages of other origins are told that they may use. */
export const METHODS = ["GET", "POST", "DELETE"] as const;

/** What every row of the table says. */
interface Row {
  /** What is sent on to an engine has a body with POST alone. */
  readonly method: (typeof METHODS)[number];
  /** As Elysia's router reads it: `:name` is one part of a path, `*` all that is left of it. */
  readonly path: string;
  readonly who: Who;
  /** HTTP/1.0 needs no `Host`, and checks of balancers send none: whether it is answered all the same. */
  readonly needsNoHost?: boolean;
  /** What the document at /docs says of it; what `who` says needs no saying. */
  readonly detail: DocumentDecoration;
}

/** A request is sent on to an engine, its body as bytes. */
export interface InferenceRoute extends Row {
  /**
   * It runs no model and asks for something that an engine keeps: for what, by the path. Its body, if
   * it has one, is no JSON that is looked at. @throws ProxyError
   */
  readonly asksFor?: (path: string) => string;
  /** Where engines have it, if that is another path. */
  readonly sendsTo?: string;
  /** Of a path with `*`: asked once it is known that the client may. @throws ProxyError */
  readonly assureForwarded?: (path: string) => void;
}

/** What a request asks of a route. */
export interface Call<Body = unknown, Query = unknown> {
  readonly request: Request;
  /** The client's address; null when its socket has gone. */
  readonly peerAddress: string | null;
  /** What stood for `:name`, decoded, and for `*`, as it came. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: Body;
  readonly query: Query;
}

/** The proxy answers by itself: a `Response`, or a value that is sent as JSON. */
export interface AnsweringRoute extends Row {
  /** JSON that is checked before `answer` sees it. A route without it reads no body. */
  readonly body?: TSchema;
  readonly query?: TSchema;
  /** What a value that is answered looks like; checked. */
  readonly response?: TSchema;
  /** HEAD is refused where this GET changes something; else it is answered as GET is. */
  readonly refusesHead?: boolean;
  /** Its answer has no end: each process gives its own. */
  readonly goesOn?: boolean;
  answer(call: Call, services: Services): unknown;
}

export type Route = InferenceRoute | AnsweringRoute;

interface Typed<Body extends TSchema, Query extends TSchema, Answer extends TSchema>
  extends AnsweringRoute {
  readonly body?: Body;
  readonly query?: Query;
  readonly response?: Answer;
  answer(
    call: Call<Static<Body>, Static<Query>>,
    services: Services,
  ): Static<Answer> | Promise<Static<Answer>>;
}

/** A row whose `answer` gets and gives what its schemas say. */
export function route<
  Body extends TSchema = TSchema,
  Query extends TSchema = TSchema,
  Answer extends TSchema = TSchema,
>(row: Typed<Body, Query, Answer>): AnsweringRoute {
  return row;
}
