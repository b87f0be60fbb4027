import type { ProxyProcess } from "./proxy.ts";
import { until } from "./until.ts";

/** Waits until `count` nodes (default: all there are, at least one) are healthy and their models known. */
export async function untilHealthy(
  proxy: ProxyProcess,
  count = 1,
  adminKey?: string,
): Promise<void> {
  await until(`${count} nodes are healthy`, async () => {
    const nodes = Object.values(await proxy.status(adminKey));
    const healthy = nodes.filter(({ state, models }) => state === "healthy" && models.length > 0);
    return nodes.length >= count && healthy.length === nodes.length;
  });
}
