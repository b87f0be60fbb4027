/**
 * What the user typed cannot be run: one line that says what is wrong and what would be right.
 * `main` prints it on stderr and ends with exit code 2. The message never holds a secret.
 */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
