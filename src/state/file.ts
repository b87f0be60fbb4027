import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { errorCode, errorMessage } from "../core/thrown.ts";
import { drawState, type Layout, parseState, type StateEntry } from "./format.ts";
import { type Lock, lockFile } from "./lock.ts";
import { realPath } from "./real-path.ts";
import { replaceFile } from "./replace-file.ts";

/** Takes a constant message and what it is about. */
export type Warn = (message: string, details: Readonly<Record<string, string | number>>) => void;

export interface StateFileOptions {
  readonly warn: Warn;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  /** What to do when another process has it, for its user. */
  readonly inUse?: string;
}

/** The state file cannot be this one: a mistake of whoever chose it, in one line. */
export class StateFileError extends Error {
  override readonly name = "StateFileError";
}

/** Larger files are not ours. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_SET_ASIDE = 9;
/** What could not be written is tried again after this, ms: there may be no other change for weeks. */
const TRY_AGAIN_MS = 10_000;

/**
 * Opens the file that keeps the registry, locks it (`<path>.lock`) and reads it. A missing file
 * holds no nodes. Whatever else is wrong with it is a warning: a damaged file is set aside as
 * `<path>.damaged-<n>`, n from 1 to 9; without a lock or the right to write, the proxy runs all
 * the same. Takes about 1 ms.
 * @param path Relative and symbolic paths of one file are one file.
 * @throws StateFileError when another process, or this one, has opened it, and for a directory,
 *   pipe or device.
 */
export function openStateFile(
  path: string,
  {
    warn,
    after,
    inUse = "give this one its own --state, or take its place with --takeover",
  }: StateFileOptions,
): StateFile {
  const folderProblem = problemOf(() => mkdirSync(dirname(path), { recursive: true, mode: 0o700 }));
  const real = checkStatePath(path);
  const lock = lockFile(`${real}.lock`);
  if (lock.kind === "in_use") {
    throw new StateFileError(`${path} is in use by another lmproxy; ${inUse}`);
  }
  if (lock.kind === "unavailable") {
    warn("state file cannot be locked; nothing keeps a second proxy from writing it too", {
      file: real,
      // Without its folder the lock can say no more than that nothing is there.
      reason: folderProblem ?? lock.reason,
    });
  }
  return new StateFile(real, lock, { warn, after });
}

/**
 * The file behind `path`, which may be missing.
 * @throws StateFileError for a directory, pipe or device.
 */
export function checkStatePath(path: string): string {
  const real = realPath(path);
  const found = tryTo(() => lstatSync(real));
  // Opening a pipe would wait for ever, and a rename would replace a device.
  if (found !== null && !found.isFile()) {
    throw new StateFileError(`${path} is no regular file; give --state the path of a file`);
  }
  return real;
}

/**
 * The registry on disk. Writes are atomic, one at a time, and none is waited for; what changes
 * during a write goes into the next one.
 */
export class StateFile {
  /** Absolute, with links followed. */
  readonly path: string;
  /** The nodes it held when it was opened. */
  readonly loaded: readonly StateEntry[];
  readonly #warn: Warn;
  readonly #after: StateFileOptions["after"];
  readonly #lock: Lock;
  #layout: Layout;
  /** A file that could not be read is kept when the first write would replace it. */
  #unread = false;
  #unsaved: (() => readonly StateEntry[]) | null = null;
  #writing: Promise<void> | null = null;
  #written: string | null = null;
  #problem: string | null = null;
  #stopPause: (() => void) | null = null;
  #closed = false;

  constructor(path: string, lock: Lock, { warn, after }: StateFileOptions) {
    this.path = path;
    this.#lock = lock;
    this.#warn = warn;
    this.#after = after;
    // Until a file says otherwise, its name does: LMDeploy looks for this one.
    this.#layout = basename(path) === "proxy_config.json" ? "lmdeploy" : "lmproxy";
    const content = this.#read();
    this.#unread = content === "unreadable";
    this.loaded = content === "unreadable" ? [] : this.#parse(content);
  }

  /** Whether no other process can have it. */
  get locked(): boolean {
    return this.#lock.kind === "held" && !this.#closed;
  }

  /** Why it could not be written last; null when it was, or nothing has changed. */
  get problem(): string | null {
    return this.#problem;
  }

  #read(): Uint8Array | "unreadable" {
    try {
      const { size } = statSync(this.path);
      if (size <= MAX_BYTES) return readFileSync(this.path);
      this.#warnOf("state file cannot be read; starting without its nodes", "larger than 64 MiB");
    } catch (error) {
      if (errorCode(error) === "ENOENT") return new Uint8Array();
      this.#warnOf("state file cannot be read; starting without its nodes", reasonOf(error));
    }
    return "unreadable";
  }

  #parse(bytes: Uint8Array): readonly StateEntry[] {
    const parsed = parseState(bytes);
    if (parsed.kind === "damaged") {
      this.#warnOf("state file is damaged; starting without its nodes", `it ${parsed.reason}`);
      try {
        this.#setAside();
      } catch (error) {
        this.#unread = true;
        this.#warnOf("damaged state file cannot be set aside", reasonOf(error));
      }
      return [];
    }
    if (parsed.layout !== null) this.#layout = parsed.layout;
    for (const { place, reason } of parsed.skipped) {
      this.#warn("entry of the state file skipped", { file: this.path, place, reason });
    }
    return parsed.entries;
  }

  /** Renames the file, so that nothing is lost; the last name is used again and again. */
  #setAside(): void {
    if (!existsSync(this.path)) return;
    let n = 1;
    while (n < MAX_SET_ASIDE && existsSync(`${this.path}.damaged-${n}`)) n += 1;
    const keptAs = `${this.path}.damaged-${n}`;
    renameSync(this.path, keptAs);
    this.#warn("state file set aside", { file: this.path, kept_as: keptAs });
  }

  #warnOf(message: string, reason: string): void {
    this.#warn(message, { file: this.path, reason });
  }

  /**
   * Writes soon what `entries` returns then: it is called when the write begins, so that a burst
   * of changes costs one. Failures are warned of, once until the reason changes, and tried again
   * with the next change, or after a pause.
   */
  save(entries: () => readonly StateEntry[]): void {
    if (this.#closed) return;
    this.#unsaved = entries;
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    // The caller's turn may bring more changes, and must have stored the promise before it ends.
    await Promise.resolve();
    try {
      while (this.#unsaved !== null) {
        const entries = this.#unsaved;
        this.#unsaved = null;
        const saved = await this.#write(drawState(entries(), this.#layout));
        if (saved || this.#unsaved !== null) continue;
        this.#unsaved = entries;
        this.#tryLater();
        return;
      }
    } finally {
      this.#writing = null;
    }
  }

  #tryLater(): void {
    if (this.#closed) return;
    this.#stopPause ??= this.#after(TRY_AGAIN_MS, () => {
      this.#stopPause = null;
      void this.flush();
    });
  }

  async #write(text: string): Promise<boolean> {
    if (text === this.#written) return true;
    try {
      if (this.#unread) this.#setAside();
      this.#unread = false;
      await replaceFile(this.path, text);
    } catch (error) {
      const reason = reasonOf(error);
      if (reason !== this.#problem) {
        this.#warnOf("nodes cannot be saved; tried again every 10 s", reason);
      }
      this.#problem = reason;
      return false;
    }
    if (this.#problem !== null) this.#warn("nodes are saved again", { file: this.path });
    this.#problem = null;
    this.#written = text;
    return true;
  }

  /** Resolves when everything is written, or has failed once more. */
  async flush(): Promise<void> {
    if (this.#unsaved !== null) this.save(this.#unsaved);
    await this.#writing;
  }

  /** Writes what is unsaved, then lets go of the lock; saves nothing from then on. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.flush();
    this.#closed = true;
    this.#stopPause?.();
    if (this.#lock.kind === "held") this.#lock.release();
  }
}

/** Null when it fails: whoever reads or writes the file next says why. */
function tryTo<T>(act: () => T): T | null {
  try {
    return act();
  } catch {
    return null;
  }
}

/** What keeps `act` from being done; null when it is done. */
function problemOf(act: () => unknown): string | null {
  try {
    act();
    return null;
  } catch (error) {
    return reasonOf(error);
  }
}

function reasonOf(error: unknown): string {
  const reason = errorMessage(error);
  const mounted = ["EBUSY", "EXDEV"].includes(errorCode(error) ?? "");
  return mounted ? `${reason} (if the file is mounted, mount its directory instead)` : reason;
}
