/** An upgrade did not begin, or broke off. */
export class UpgradeError extends Error {
  override readonly name = "UpgradeError";
}

/** There are no workers, or they die again and again. */
export class WorkersError extends Error {
  override readonly name = "WorkersError";
}
