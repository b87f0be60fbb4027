import type { Config } from "../config/serve-config.ts";

/** What `Bun.serve` is given to serve HTTPS; nothing for HTTP. */
export function tlsOf({ tls }: Pick<Config, "tls">) {
  return tls === null ? {} : { tls: { key: Bun.file(tls.keyPath), cert: Bun.file(tls.certPath) } };
}
