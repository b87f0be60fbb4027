/** The new proxy's side of a takeover. */
import { statSync } from "node:fs";
import { Value } from "@sinclair/typebox/value";
import { version } from "../../package.json";
import type { Config } from "../config/serve-config.ts";
import { type Clock, pause } from "../core/clock.ts";
import type { Registry } from "../core/pool/registry.ts";
import { errorCode, errorMessage } from "../core/thrown.ts";
import {
  checkStatePath,
  openStateFile,
  type StateFile,
  StateFileError,
  type Warn,
} from "../state/file.ts";
import { parseState, type StateEntry } from "../state/format.ts";
import { lockFile } from "../state/lock.ts";
import type { KeptNodes } from "../state/persist.ts";
import { HANDSHAKES_MS } from "./handover.ts";
import { listenersAt } from "./listening-socket.ts";
import {
  isSameAddress,
  listensElsewhere,
  PROTOCOL,
  Refused,
  Standing,
  type Successor,
  socketPath,
} from "./standing.ts";

/** Taking over failed, and the one that runs goes on: in one line. */
export class TakeoverError extends Error {
  override readonly name = "TakeoverError";
}

/** The old one may wait some seconds for the one before it. */
const ANSWER_LIMIT_MS = 30_000;
/** How often it is looked whether nodes are well, or the lock free. */
const LOOK_MS = 20;
const LOCK_LIMIT_MS = 5_000;
/** One whose connection broke off because it is dying has let go of its socket by then, ms. */
const DIES_WITHIN_MS = 1_000;
/** A worker takes a little more than a second to leave the port, ms. */
const LEAVES_MS = 2_000;
/** How often it is looked who listens, and for how long. */
const LEFT_LOOK_MS = 1_000;
const LEAVE_LIMIT_MS = 60_000;
/** Of so many nodes it is said why none of them is well. */
const MOST_WHYS = 3;

export interface FindOptions {
  readonly clock: Clock;
  readonly warn: Warn;
  /** How many we have at the port. */
  readonly listeners: number;
}

/** The proxy that runs, which has agreed to be taken over from. */
export class Predecessor {
  readonly #path: string;
  readonly #statePath: string;
  readonly #clock: Clock;
  readonly #standing: Standing;
  /** The nodes that it keeps. */
  readonly entries: readonly StateEntry[];

  private constructor(statePath: string, clock: Clock, standing: Standing) {
    this.#statePath = statePath;
    this.#path = socketPath(statePath);
    this.#clock = clock;
    this.#standing = standing;
    this.entries = entriesOf(standing);
  }

  /**
   * Asks the one that has this state file to share its port; null when none runs, or it dies meanwhile: then port
   * and state file are nobody's by then.
   * @throws StateFileError; TakeoverError when it refuses, does not answer, is another user's, or listens elsewhere
   *   than we are told to
   */
  static async find(
    config: Config,
    { clock, warn, listeners }: FindOptions,
  ): Promise<Predecessor | null> {
    if (config.statePath === null) return null;
    const statePath = checkStatePath(config.statePath);
    const { host, port } = config;
    const { pid } = process;
    const us: Successor = { protocol: PROTOCOL, version, pid, host, port, listeners };
    const standing = await ask(socketPath(statePath), "/share", us, clock);
    if (standing === "died") {
      warn("the running lmproxy died while it was asked to share its port; starting as usual", {});
      await untilNobodys(statePath, port, clock);
    }
    if (standing === null || standing === "died") return null;
    assureOurs(socketPath(statePath));
    // Older versions look at no address.
    if (!isSameAddress(config, standing)) throw refusal(listensElsewhere(standing));
    return new Predecessor(statePath, clock, standing);
  }

  /** By then it has left the port, ms: its workers do so one after the other. */
  get leavesWithinMs(): number {
    return 2 * HANDSHAKES_MS + LEAVES_MS * (this.#standing.listeners ?? 1);
  }

  /** It has its port, and shares it. */
  get heldPort() {
    return { port: this.#standing.port, release: () => {} };
  }

  /** With DistServe, the pairs that it has connected. */
  get pairs(): readonly (readonly [prefillId: string, decodeId: string])[] {
    return this.#standing.pairs ?? [];
  }

  /**
   * Resolves as soon as the nodes that it sends requests to may get some from us too, and are known for
   * what they serve, or after a time limit.
   * @throws TakeoverError when none of them may by then
   */
  async assureSeen(registry: Registry, limitMs: number): Promise<void> {
    const { now } = this.#clock;
    const { routable: urls, pid } = this.#standing;
    const isRoutable = (url: string) => registry.get(url)?.health.routable(now()) === true;
    const isSeen = (url: string) => {
      const node = registry.get(url);
      return node === undefined || (isRoutable(url) && (node.listed || node.noList !== null));
    };
    const untilMs = now() + limitMs;
    while (!urls.every(isSeen) && now() < untilMs) {
      await pause(this.#clock, LOOK_MS);
    }
    if (urls.length === 0 || urls.some(isRoutable)) return;
    const whys = urls.map((url) => `${url}: ${whyNot(url, registry)}`);
    throw new TakeoverError(
      `none of the ${urls.length} nodes that the running lmproxy serves (process ${pid}) is well as seen from this one ` +
        `(${whys.slice(0, MOST_WHYS).join("; ")}${whys.length > MOST_WHYS ? "; …" : ""})`,
    );
  }

  /**
   * Has it leave us all that is new, and the state file, and learns what its nodes had become by then.
   * Requests may be coming already.
   * @returns the state file; null when its lock cannot be had
   * @throws TakeoverError when it refuses
   */
  async succeed(registry: Registry, kept: KeptNodes, warn: Warn): Promise<StateFile | null> {
    const said = await ask(this.#path, "/leave", {}, this.#clock);
    const isGone = said === null || said === "died";
    if (isGone)
      warn("the lmproxy that was taken over from has died; what it said before counts", {});
    const left = isGone ? this.#standing : said;
    kept.catchUp(this.entries, entriesOf(left));
    const own = new Set(kept.entries().map(({ url }) => url));
    for (const url of left.removed) if (!own.has(url)) registry.membership.remove(url);
    const stateFile = await this.#open(warn);
    if (stateFile === null) return null;
    kept.saveTo(stateFile);
    stateFile.save(() => kept.entries());
    return stateFile;
  }

  /** Resolves when nobody but our `own` listens at the port any more, or after a minute. */
  async leftPort(own: number): Promise<void> {
    const { now } = this.#clock;
    const untilMs = now() + LEAVE_LIMIT_MS;
    do await pause(this.#clock, LEFT_LOOK_MS);
    while ((listenersAt(this.#standing.port) ?? 0) > own && now() < untilMs);
  }

  /** Somebody who is started in this moment has the lock until he finds the port taken. */
  async #open(warn: Warn): Promise<StateFile | null> {
    const { now, after } = this.#clock;
    const untilMs = now() + LOCK_LIMIT_MS;
    for (;;) {
      try {
        return openStateFile(this.#statePath, { warn, after });
      } catch (error) {
        if (!(error instanceof StateFileError)) throw error;
        if (now() >= untilMs) {
          warn("nodes are not saved from now on: the state file stays locked", {
            file: this.#statePath,
          });
          return null;
        }
        await pause(this.#clock, LOOK_MS);
      }
    }
  }
}

/** Why a node that the one before serves gets nothing from us. */
function whyNot(url: string, registry: Registry): string {
  const node = registry.get(url);
  if (node === undefined) return "not a node here, with these flags";
  return node.lastError ?? "no answer yet";
}

/** Resolves when nobody has the state file's lock, nor the port, which workers leave a moment later; or after a time limit. */
async function untilNobodys(statePath: string, port: number, clock: Clock): Promise<void> {
  const untilMs = clock.now() + LOCK_LIMIT_MS;
  const isFree = () => {
    if ((listenersAt(port) ?? 0) > 0) return false;
    const lock = lockFile(`${statePath}.lock`);
    if (lock.kind === "held") lock.release();
    return lock.kind !== "in_use";
  };
  while (!isFree() && clock.now() < untilMs) {
    await pause(clock, LOOK_MS);
  }
}

/** Whether nobody is behind the socket any more, soon. */
async function dies(path: string, clock: Clock): Promise<boolean> {
  const untilMs = clock.now() + DIES_WITHIN_MS;
  while (await accepts(path)) {
    if (clock.now() >= untilMs) return false;
    await pause(clock, LOOK_MS);
  }
  return true;
}

async function accepts(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.terminate();
    return true;
  } catch {
    return false;
  }
}

/**
 * Null when nobody is behind the socket, or there is none.
 * @throws TakeoverError for what is refused or not answered as it should
 */
async function ask(
  path: string,
  call: "/share" | "/leave",
  body: object,
  clock: Clock,
): Promise<Standing | null | "died"> {
  let said: unknown;
  try {
    const answer = await fetch(`http://lmproxy${call}`, {
      unix: path,
      method: "POST",
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    said = await answer.json();
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ECONNREFUSED") return null;
    if (code === "ECONNRESET" && (await dies(path, clock))) return "died";
    throw notAnswered(error, code, path);
  }
  if (Value.Check(Standing, said)) return said;
  throw refusal(
    Value.Check(Refused, said) ? said.message : "it speaks another version of this protocol",
  );
}

/** @throws TakeoverError */
function assureOurs(path: string): void {
  const owner = statSync(path, { throwIfNoEntry: false })?.uid;
  if (owner === undefined || owner === process.geteuid?.()) return;
  throw refusal(
    `it is the process of user ${owner}, and the kernel shares a port among those of one user only; start this ` +
      "one as that user",
  );
}

function refusal(why: string): TakeoverError {
  return new TakeoverError(`the running lmproxy cannot be taken over from: ${why}`);
}

function entriesOf({ state }: Standing): readonly StateEntry[] {
  const parsed = parseState(new TextEncoder().encode(state));
  if (parsed.kind === "parsed") return parsed.entries;
  throw new TakeoverError(`the state of the running lmproxy cannot be read: it ${parsed.reason}`);
}

function notAnswered(error: unknown, code: unknown, path: string): TakeoverError {
  switch (code) {
    case "EACCES":
      return new TakeoverError(
        `${path} is another user's; start this as the user of the running lmproxy`,
      );
    case "ENAMETOOLONG":
      return new TakeoverError(
        `${path} is too long for a socket; choose a shorter path with --state`,
      );
    default: {
      const reason = errorMessage(error);
      return new TakeoverError(`the running lmproxy does not answer at ${path} (${reason})`);
    }
  }
}
