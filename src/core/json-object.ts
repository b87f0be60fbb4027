export type JsonObject = Readonly<Record<string, unknown>>;

/** The value of JSON text when it is an object; else null. */
export function readObject(json: string): JsonObject | null {
  if (!json.startsWith("{")) return null;
  try {
    return asObject(JSON.parse(json));
  } catch {
    return null;
  }
}

export function asObject(value: unknown): JsonObject | null {
  return isObject(value) ? value : null;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
