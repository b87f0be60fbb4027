/** What a node does: the whole of a request, or one of DistServe's two steps. */
export type Role = "Hybrid" | "Prefill" | "Decode";

export const ROLES = ["Hybrid", "Prefill", "Decode"] as const satisfies readonly Role[];

/** On the wire. Source: LMDeploy's `Role`. */
export const ROLE_NUMBERS = { Hybrid: 1, Prefill: 2, Decode: 3 } as const satisfies Record<
  Role,
  number
>;

/** The role by its number or its name, in whatever case; null when it is none. */
export function readRole(role: number | string): Role | null {
  const known = ROLES.find(
    (name) => role === ROLE_NUMBERS[name] || `${role}`.toLowerCase() === name.toLowerCase(),
  );
  return known ?? null;
}
