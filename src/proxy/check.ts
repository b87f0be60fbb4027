import type { Config } from "../config/serve-config.ts";
import { parseAllowRule } from "../core/address/address-policy.ts";
import { NodePolicy } from "../discovery/node-policy.ts";
import { checkStatePath } from "../state/file.ts";
import { namedNodes } from "./join-nodes.ts";
import { routesOf } from "./routes.ts";
import { tlsOf } from "./tls.ts";

/**
 * Throws what the start would throw for this configuration, as far as no other process has a part in
 * it, and leaves nothing behind.
 */
export async function checkConfig(config: Config): Promise<void> {
  const allow = config.allowNodes.map(parseAllowRule);
  namedNodes(config, new NodePolicy({ allow, proxyPort: () => config.port }));
  routesOf(config);
  if (config.statePath !== null) checkStatePath(config.statePath);
  await checkTls(config);
}

/** @throws what `Bun.serve` throws for a key and a certificate that it cannot serve with. */
export async function checkTls(config: Pick<Config, "tls">): Promise<void> {
  if (config.tls === null) return;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    ...tlsOf(config),
    fetch: () => new Response(),
  });
  await server.stop(true);
}
