/** Variables that look like ours and are not: a misspelt one would be missed in silence. */
import { nearestName } from "../core/nearest-name.ts";
import type { Note } from "./note.ts";
import { type Environment, SERVICE_LINK } from "./resolve.ts";

/** What other commands read; they have flags of their own. None that a flag of ours could be misspelt as. */
const OTHER_COMMANDS =
  /^LMPROXY_(?:(?:NODES|ENGINE|DEMO|LAB|DOCTOR|REQUESTS|UPGRADE|RELOAD)_|PROXY_URL$)/;

/** What Kubernetes adds for a Service whose name begins with ours; the values of others are links. */
const OF_A_SERVICE = /_SERVICE_(?:HOST|PORT(?:_\w+)?)$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?$/;

/**
 * @param known the names of all variables that count, each with the prefix
 * @returns a warning for each that begins with `prefix` and does not count. Values are not repeated.
 */
export function strayVariables(
  env: Environment,
  prefix: string,
  known: readonly string[],
): readonly Note[] {
  return Object.entries(env).flatMap(([name, value]) => {
    if (!name.startsWith(prefix) || known.includes(name) || !value) return [];
    if (OTHER_COMMANDS.test(name) || OF_A_SERVICE.test(name) || SERVICE_LINK.test(value)) return [];
    const shown = /^\w{1,60}$/.test(name) ? name : `A variable that begins with ${prefix}`;
    const rest = known.map((one) => one.slice(prefix.length));
    const nearest = nearestName(name.slice(prefix.length), rest);
    const advice =
      nearest === undefined ? "see lmproxy serve --help" : `did you mean ${prefix}${nearest}?`;
    return [{ level: "warning", text: `${shown} is no variable of lmproxy's; ${advice}` }];
  });
}
