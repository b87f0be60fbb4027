import {
  bare,
  type Contestant,
  haproxy,
  lmproxyContestant,
  nginx,
  nginxLargeBuffer,
} from "./contestants.ts";
import { routerContestants } from "./routers.ts";

/** Everybody there is to compare with; routers only if asked for, since they must be installed. */
export async function allContestants(
  executable: string | undefined,
  withRouters: boolean,
): Promise<Contestant[]> {
  const own = [lmproxyContestant(executable), nginx, nginxLargeBuffer, haproxy, bare];
  return withRouters ? [...own, ...(await routerContestants())] : own;
}
