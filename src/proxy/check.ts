import type { ReadFile } from "../config/resolve.ts";
import type { Config } from "../config/serve-config.ts";
import { parseAllowRule } from "../core/address/address-policy.ts";
import { NodePolicy } from "../discovery/node-policy.ts";
import { checkStatePath } from "../state/file.ts";
import { namedNodes } from "./join-nodes.ts";
import { routesOf } from "./routes.ts";
import { checkTls, readCertifiedKey } from "./tls.ts";

/**
 * Throws what the start would throw for this configuration, as far as no other process has a part in
 * it, and leaves nothing behind.
 */
export async function checkConfig(config: Config, readFile?: ReadFile): Promise<void> {
  const allow = config.allowNodes.map(parseAllowRule);
  namedNodes(config, new NodePolicy({ allow, proxyPort: () => config.port }));
  routesOf(config);
  if (config.statePath !== null) checkStatePath(config.statePath);
  await checkTls(readCertifiedKey(config, readFile));
}
