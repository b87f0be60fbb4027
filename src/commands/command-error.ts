/** The command was understood and could not be done; one line that says why and what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}
