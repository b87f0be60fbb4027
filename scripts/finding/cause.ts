/** What can be wrong with a node, as the two that look for it name it. */
export const CAUSES = ["killed", "hung", "slowed", "errors", "flooded"] as const;
export type Cause = (typeof CAUSES)[number];

export interface Named {
  readonly node: string;
  readonly cause: Cause;
}

/** What the reason says that a proxy gives for a node that is out. */
export function causeOf(reason: string): Cause | null {
  if (/ECONNREFUSED|refused|no connection/.test(reason)) return "killed";
  if (/answered a request with 5\d\d/.test(reason)) return "errors";
  if (/more slowly than its peers/.test(reason)) return "slowed";
  if (/sent nothing for|no answer within/.test(reason)) return "hung";
  return null;
}
