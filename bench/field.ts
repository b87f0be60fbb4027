import {
  bare,
  type Contestant,
  haproxy,
  lmproxyAsRouter,
  lmproxyContestant,
  nginx,
  nginxLargeBuffer,
} from "./contestants.ts";
import { routerContestants } from "./routers.ts";

/**
 * Everybody there is to compare with; routers only if asked for, since they must be installed.
 *
 * @param executable path of lmproxy; undefined: ./lmproxy
 * @param builds paths of other builds of lmproxy, by the name each has in the run
 */
export async function allContestants(
  executable: string | undefined,
  builds: ReadonlyMap<string, string>,
  withRouters: boolean,
): Promise<Contestant[]> {
  const others = [...builds].map(([name, path]) => lmproxyContestant(path, name));
  const own = [lmproxyContestant(executable), ...others, nginx, nginxLargeBuffer, haproxy, bare];
  return withRouters ? [...own, lmproxyAsRouter(executable), ...(await routerContestants())] : own;
}

/** `NAME=PATH` each; a name names its contestant in all tables. */
export async function readBuilds(given: readonly string[]): Promise<Map<string, string> | Error> {
  const taken = (await allContestants(undefined, new Map(), true)).map(({ name }) => name);
  const builds = new Map<string, string>();
  for (const each of given) {
    const [, name = "", path = ""] = /^([a-z0-9][\w.-]*)=(.+)$/.exec(each) ?? [];
    if (name === "" || taken.includes(name) || builds.has(name)) {
      return new Error(`--executable ${each}: NAME=PATH, with a name that nobody else has`);
    }
    builds.set(name, path);
  }
  return builds;
}
