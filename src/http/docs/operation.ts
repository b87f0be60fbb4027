/** The `responses` of a call that works: JSON that fits a schema of `components.ts`. */
export function ok(schema: string, example: object, description: string) {
  return {
    "200": {
      description,
      content: {
        "application/json": { schema: { $ref: `#/components/schemas/${schema}` }, example },
      },
    },
  };
}
