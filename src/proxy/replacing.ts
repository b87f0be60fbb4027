import { version } from "../../package.json";
import { UpgradeError } from "../cluster/errors.ts";
import type { CertifiedKey } from "../cluster/messages.ts";
import type { Supervisor } from "../cluster/supervisor.ts";
import { ProxyError } from "../core/errors.ts";
import { errorMessage } from "../core/thrown.ts";
import type { Handover } from "./handover.ts";

/** Starts another proxy that takes over from the one at `port`. @param failed Called when it ends before it has. */
export type StartSuccessor = (port: number, failed: (reason: string) => void) => void;

interface ReplacingOptions {
  readonly port: number;
  /** Null where none is kept. */
  readonly statePath: string | null;
  readonly supervisor: () => Pick<Supervisor, "upgrade" | "renew">;
  readonly startSuccessor: StartSuccessor;
}

/** How what serves at a supervisor's port is replaced: its workers, the whole of it, or their certificate; one at a time. */
export class Replacing {
  /** Null until another process may take this one's place, and where none can find it. */
  handover: Pick<Handover, "refuseWhileReplaced" | "stop"> | null = null;
  /** Resolves when nobody else listens at the port any more: then the places of listeners are known. */
  settled: Promise<unknown> = Promise.resolve();
  readonly #options: ReplacingOptions;
  readonly #replaced = Promise.withResolvers<string>();

  constructor(options: ReplacingOptions) {
    this.#options = options;
  }

  /** Resolves with the version of the process that has taken this one's place. */
  get replaced(): Promise<string> {
    return this.#replaced.promise;
  }

  readonly isReplaced = (by: string): void => this.#replaced.resolve(by);

  /** @throws Error while another process takes the place of this one, or has */
  async renew(next: CertifiedKey): Promise<boolean> {
    await this.settled;
    // Not before: one may have begun to take it meanwhile.
    this.handover?.refuseWhileReplaced();
    return await this.#options.supervisor().renew(next);
  }

  /** @throws UpgradeError; ProxyError where no other process could find this one */
  async upgrade(what: "workers" | "all"): Promise<{ readonly from: string; readonly to: string }> {
    const { port, supervisor, startSuccessor } = this.#options;
    await this.settled;
    try {
      this.handover?.refuseWhileReplaced();
    } catch (error) {
      throw new UpgradeError(errorMessage(error));
    }
    if (what === "workers") return await supervisor().upgrade();
    if (this.handover === null) throw this.#cannotBeFound();
    const { promise: fails, reject } = Promise.withResolvers<never>();
    startSuccessor(port, (reason) => reject(new UpgradeError(`Nothing was changed: ${reason}.`)));
    return { from: version, to: await Promise.race([this.replaced, fails]) };
  }

  #cannotBeFound(): ProxyError {
    const { statePath } = this.#options;
    const todo =
      statePath === null
        ? "start lmproxy with --state"
        : `the lock of ${statePath} could not be had, as the log says, so start lmproxy anew once it can`;
    const message = `The one that replaces a supervisor finds it by its state file; ${todo}.`;
    return new ProxyError("invalid_request", message);
  }
}
