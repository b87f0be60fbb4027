/** What was thrown, in words: the message of an error, and all else as text. */
export function errorMessage(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The code by which the system, Bun or SQLite names an error, such as ENOENT; null without one. */
export function errorCode(thrown: unknown): string | null {
  return thrown instanceof Error && "code" in thrown ? String(thrown.code) : null;
}
