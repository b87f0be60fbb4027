/** An OpenAPI document as tests need it: its operations, and whether a value fits one of its schemas. */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";

const Media = Type.Object({
  schema: Type.Unknown(),
  example: Type.Optional(Type.Unknown()),
  examples: Type.Optional(Type.Record(Type.String(), Type.Object({ value: Type.Unknown() }))),
});
const ContentSchema = Type.Record(Type.String(), Media);
const Answer = Type.Object({
  $ref: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
  content: Type.Optional(ContentSchema),
});
const Operation = Type.Object({
  operationId: Type.String(),
  summary: Type.String(),
  tags: Type.Array(Type.String()),
  requestBody: Type.Optional(Type.Object({ content: ContentSchema })),
  responses: Type.Record(Type.String(), Answer),
});
const Document = Type.Object({
  info: Type.Object({ title: Type.String(), version: Type.String(), description: Type.String() }),
  tags: Type.Array(Type.Object({ name: Type.String() })),
  paths: Type.Record(Type.String(), Type.Record(Type.String(), Operation)),
  components: Type.Object({ responses: Type.Record(Type.String(), Answer) }),
});

export type Content = Static<typeof ContentSchema>;
export type OpenApi = Static<typeof Document>;
export type OpenApiOperation = Static<typeof Operation>;

/** A value in the document, by the keys that lead to it. */
export type Place = readonly string[];

export class OpenApiReader {
  readonly document: OpenApi;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });

  constructor(document: object) {
    Value.Assert(Document, document);
    this.document = document;
    formats.default(this.#ajv);
    this.#ajv.addSchema(document, "document");
  }

  operations(): { method: string; path: string; operation: OpenApiOperation }[] {
    return Object.entries(this.document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path,
        operation,
      })),
    );
  }

  /** Where the body of an answer is described; undefined when the document knows no such answer. */
  answer(method: string, path: string, status: number, contentType: string): Place | undefined {
    const found = this.document.paths[path]?.[method.toLowerCase()]?.responses[status];
    if (found === undefined) return undefined;
    const name = found.$ref?.split("/").at(-1);
    const answer = name === undefined ? found : this.document.components.responses[name];
    if (answer?.content?.[contentType] === undefined) return undefined;
    const head =
      name === undefined
        ? ["paths", path, method.toLowerCase(), "responses", String(status)]
        : ["components", "responses", name];
    return [...head, "content", contentType, "schema"];
  }

  /** What is wrong with `value` by the schema at `place`; empty when it fits. */
  problems(place: Place, value: unknown): string[] {
    const pointer = place.map((key) => key.replaceAll("~", "~0").replaceAll("/", "~1"));
    const check = this.#ajv.compile({
      $ref: `document#/${pointer.map(encodeURIComponent).join("/")}`,
    });
    if (check(value)) return [];
    return (check.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  }
}
