import { readFileSync } from "node:fs";
import type { CertifiedKey } from "../cluster/messages.ts";
import type { ReadFile } from "../config/resolve.ts";
import type { Config } from "../config/serve-config.ts";
import { UsageError } from "../config/usage-error.ts";
import { errorCode } from "../core/thrown.ts";

/**
 * What the files of `--tls-key` and `--tls-cert` hold now; null for HTTP.
 * @param readFile As the configuration was read with: a pipe can be read but once.
 * @throws Error of the system
 */
export function readCertifiedKey(
  { tls }: Pick<Config, "tls">,
  readFile: ReadFile = (path) => readFileSync(path, "utf8"),
): CertifiedKey | null {
  return tls === null ? null : { key: readFile(tls.keyPath), cert: readFile(tls.certPath) };
}

/** What `Bun.serve` is given to serve HTTPS; nothing for HTTP. */
export function tlsOf(key: CertifiedKey | null) {
  return key === null ? {} : { tls: key };
}

/** @throws UsageError for a key and a certificate that cannot be served with. */
export async function checkTls(key: CertifiedKey | null): Promise<void> {
  if (key === null) return;
  try {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      ...tlsOf(key),
      fetch: () => new Response(),
    });
    await server.stop(true);
  } catch (error) {
    throw tlsRefusal(error) ?? error;
  }
}

/** In one line, what `Bun.serve` has against a key and its certificate; null when it is something else. */
export function tlsRefusal(error: unknown): UsageError | null {
  const code = errorCode(error);
  if (typeof code !== "string" || !code.startsWith("ERR_OSSL")) return null;
  const reason = code.slice("ERR_OSSL_".length).toLowerCase().replaceAll("_", " ");
  return new UsageError(
    `the files of --tls-key and --tls-cert make no key with its certificate (${reason})`,
  );
}

/** What new connections get: the key and certificate of the start, or of the last reload. */
export class CertificateInUse {
  #key: CertifiedKey | null;
  readonly #serve: (key: CertifiedKey) => Promise<boolean>;

  /** @param serve Has new connections get it; false where this system cannot while the process runs. */
  constructor(key: CertifiedKey | null, serve: (key: CertifiedKey) => Promise<boolean>) {
    this.#key = key;
    this.#serve = serve;
  }

  get key(): CertifiedKey | null {
    return this.#key;
  }

  /** What is served from now on by whoever does not listen yet. */
  use(key: CertifiedKey): void {
    this.#key = key;
  }

  /** When it expires, s since 1970; null without one. */
  get notAfterS(): number | null {
    if (this.#key === null) return null;
    try {
      const { X509Certificate } = process.getBuiltinModule("node:crypto");
      return Date.parse(new X509Certificate(this.#key.cert).validTo) / 1_000;
    } catch {
      // Serving has its own say about that.
      return null;
    }
  }

  /**
   * Takes `next` into use when it is another one.
   * @returns Whether it was another; null when only a new process can serve it
   * @throws UsageError when it cannot be served with; Error when it cannot be just now. Then the one of
   *   before stays.
   */
  async renew(next: CertifiedKey | null): Promise<boolean | null> {
    const before = this.#key;
    if (next === null || (next.key === before?.key && next.cert === before.cert)) return false;
    await checkTls(next);
    // Processes that are started from now on begin with it.
    this.#key = next;
    try {
      if (await this.#serve(next)) return true;
    } catch (error) {
      this.#key = before;
      throw error;
    }
    this.#key = before;
    return null;
  }
}
