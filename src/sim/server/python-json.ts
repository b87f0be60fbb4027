/** JSON as Python's `json.dumps` writes it, which shows on the wire: `, ` and `: `, and ASCII alone by default. */

export function pythonJson(value: unknown, encoding: "ascii" | "utf-8"): string {
  const text = spaced(value);
  if (encoding === "utf-8") return text;
  return text.replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${JSON.stringify(name)}: ${spaced(member)}`);
  return `{${members.join(", ")}}`;
}
