import { flagName } from "../config/flag.ts";
import type { ReadFile } from "../config/resolve.ts";
import type { Config } from "../config/serve-config.ts";
import { SERVE_FLAGS } from "../config/serve-flags.ts";
import { ProxyError } from "../core/errors.ts";
import { errorMessage } from "../core/thrown.ts";
import type { Reloaded } from "../http/setting-schemas.ts";
import type { EventLog } from "../observe/log.ts";
import type { Keys } from "./keys.ts";
import { type CertificateInUse, readCertifiedKey } from "./tls.ts";

/** How what the proxy was started with is read once more. */
export interface Rereading {
  /** Flags, variables and the files that they name. @throws UsageError */
  readonly config: () => Config;
  /** What the configuration was read with from the start. */
  readonly readFile: ReadFile;
}

export interface ReloadOptions {
  readonly config: Config;
  /** Null where nothing can have changed. */
  readonly rereading: Rereading | null;
  readonly keys: Pick<Keys, "use">;
  readonly certificate: Pick<CertificateInUse, "renew">;
  readonly log: EventLog;
  /** Wall clock, ms since 1970. */
  readonly wallMs: () => number;
}

/** Fields that `Keys` takes anew. */
const KEYS: ReadonlySet<string> = new Set(["apiKeys", "adminKey", "upstreamApiKey"]);

/**
 * Reads again what the proxy was started with: what flags and variables say stays, so it is the files
 * that they name. Keys change for the next request, the certificate for the next connection.
 */
export class Reload {
  readonly #options: ReloadOptions;
  #config: Config;
  #turn: Promise<unknown> = Promise.resolve();
  /** Whether the last one succeeded, and when one did, s since 1970: at the start, to begin with. */
  readonly last: { succeeded: boolean; succeededAtS: number };

  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#config = options.config;
    this.last = { succeeded: true, succeededAtS: this.#nowS() };
  }

  /**
   * One after the other.
   * @throws ProxyError invalid_request when something cannot be read; then nothing has changed.
   */
  run(): Promise<Reloaded> {
    const ran = this.#turn.then(() => this.#run());
    this.#turn = ran.catch(() => {});
    return ran;
  }

  async #run(): Promise<Reloaded> {
    const { rereading, keys, certificate, log } = this.#options;
    try {
      const next = rereading?.config() ?? this.#config;
      const isRenewed = await certificate.renew(readCertifiedKey(next, rereading?.readFile));
      const { changed, others } = difference(this.#config, next);
      keys.use(next);
      this.#config = next;
      this.last.succeeded = true;
      this.last.succeededAtS = this.#nowS();
      if (isRenewed === true) changed.push("--tls-cert");
      if (isRenewed === null) others.push("--tls-cert");
      log.info("configuration reloaded", {
        changed: said(changed),
        needs_new_process: said(others),
      });
      return { changed, needs_new_process: others };
    } catch (error) {
      this.last.succeeded = false;
      const reason = errorMessage(error);
      log.error("configuration not reloaded; nothing has changed", { reason });
      throw new ProxyError("invalid_request", `Nothing has changed: ${reason}.`);
    }
  }

  #nowS(): number {
    return Math.floor(this.#options.wallMs() / 1_000);
  }
}

function said(flags: readonly string[]): string | null {
  return flags.length === 0 ? null : flags.join(" ");
}

/** The flags whose values differ: those that change now, and the others. */
function difference(before: Config, after: Config) {
  const old = new Map<string, unknown>(Object.entries(before));
  const differing = Object.entries(after)
    .filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(old.get(key)))
    .map(([key]) => key);
  return {
    changed: differing.filter((key) => KEYS.has(key)).map(nameOf),
    others: differing.filter((key) => !KEYS.has(key)).map(nameOf),
  };
}

function nameOf(key: string): string {
  const flag = SERVE_FLAGS.find((one) => one.key === key);
  return flag === undefined ? key : flagName(flag);
}
