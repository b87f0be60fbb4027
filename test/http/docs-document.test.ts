import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { version } from "../../package.json";
import { openApiDocument } from "../../src/http/docs.ts";
import { ROUTES } from "../../src/http/routes/index.ts";
import { type Content, OpenApiReader, type Place } from "../support/openapi.ts";

const COMMITTED = join(import.meta.dir, "../../docs/openapi.json");
const reader = new OpenApiReader(await openApiDocument());
const operations = reader.operations();

test("the document is valid OpenAPI, and all its references lead somewhere", async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(COMMITTED);
  expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
  expect(() => validator.resolveRefs()).not.toThrow();
});

test("it carries the version of the package", () => {
  expect(reader.document.info).toMatchObject({ title: "lmproxy", version });
});

test("each operation has a name of its own, a summary and a known tag", () => {
  const names = operations.map(({ operation }) => operation.operationId);
  expect(new Set(names).size).toBe(names.length);
  const tags = reader.document.tags.map(({ name }) => name);
  for (const { operation } of operations) {
    expect(operation.summary).not.toBe("");
    for (const tag of operation.tags) expect(tags).toContain(tag);
  }
});

describe("examples fit their schemas", () => {
  const bodies: [Place, { content?: Content }][] = operations.flatMap(
    ({ method, path, operation }) => {
      const head = ["paths", path, method.toLowerCase()];
      const answers = Object.entries(operation.responses).map(
        ([status, answer]): [Place, typeof answer] => [[...head, "responses", status], answer],
      );
      return [...answers, [[...head, "requestBody"], operation.requestBody ?? {}]];
    },
  );
  for (const [name, answer] of Object.entries(reader.document.components.responses)) {
    bodies.push([["components", "responses", name], answer]);
  }
  const examples = bodies.flatMap(([place, { content = {} }]) =>
    Object.entries(content).flatMap(([type, { example, examples = {} }]) =>
      [example, ...Object.values(examples).map(({ value }) => value)]
        .filter((value) => value !== undefined)
        .map((value): [Place, unknown] => [[...place, "content", type, "schema"], value]),
    ),
  );
  test.each(examples)("%j", (place, value) => {
    expect(reader.problems(place, value)).toEqual([]);
  });
});

test("a document is made of exactly the routes that are served, but those that are hidden", () => {
  const served = ROUTES.filter(({ detail }) => detail.hide !== true).map(
    ({ method, path, detail }) =>
      `${method} ${path.replace("*", "{model}").replace(/:(\w+)/g, "{$1}")} ${detail.operationId}`,
  );
  const described = operations.map(
    ({ method, path, operation }) => `${method} ${path} ${operation.operationId}`,
  );
  expect(described).toEqual(served);
});
