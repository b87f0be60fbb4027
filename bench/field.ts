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
