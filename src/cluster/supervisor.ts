/**
 * Keeps as many workers running as were wanted: starts them, replaces those that die or are to be of
 * another version, and ends them. It never listens on their port.
 */
import type { Clock } from "../core/clock.ts";
import { errorMessage } from "../core/thrown.ts";
import { UpgradeError, WorkersError } from "./errors.ts";
import { ListenerOrder } from "./listener-order.ts";
import { Member, type Spawn } from "./member.ts";
import { type Beginning, type CertifiedKey, PROTOCOL } from "./messages.ts";
import { CONTROL_ROW, countRows, freeRow, GENERATIONS } from "./rows.ts";
import type { Table } from "./table.ts";
import { HEAR_LIMIT_MS, START_LIMIT_MS, Telling } from "./telling.ts";

export interface SupervisorOptions {
  readonly count: number;
  readonly port: number;
  readonly table: Table;
  readonly clock: Pick<Clock, "now" | "after">;
  readonly spawn: Spawn;
  /** What a worker begins with, but for its row. */
  readonly beginning: () => Omit<Beginning, "row">;
  /** What a worker asks. */
  readonly answer: (question: unknown, member: Member) => unknown;
  /** The first of all workers listens, and nobody else of them does yet. */
  readonly firstListens: () => void;
  /** A worker ended; what it counted is to be kept. */
  readonly gone: (member: Member) => void;
  readonly log: {
    info(message: string, fields: Readonly<Record<string, string | number>>): void;
    warning(message: string, fields: Readonly<Record<string, string | number>>): void;
  };
}

/** So many deaths in so long are no accidents. */
const MOST_DEATHS = 5;
const DEATHS_COUNT_FOR_MS = 60_000;
/** After one that did not come up, ms: while another executable is put in our place, none may be there, or half of it. */
const TRY_AGAIN_MS = 5_000;
const ENDS = "the proxy is shutting down";

export class Supervisor {
  /** What all workers are told. */
  readonly telling: Telling;
  readonly #options: SupervisorOptions;
  readonly #members = new Set<Member>();
  readonly #listeners = new ListenerOrder<Member | symbol>();
  readonly #deathsAtMs: number[] = [];
  readonly #failed = Promise.withResolvers<never>();
  #isEnding = false;
  #hasListened = false;
  #upgrading = false;
  #renewing = 0;
  /** Listeners come up one at a time: their order has to be known. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.telling = new Telling(this.#members);
    this.#failed.promise.catch(() => {});
  }

  /** Rejects with an Error when workers die again and again. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Those that serve, and those that finish. */
  get members(): readonly Member[] {
    return [...this.#members].filter(({ phase }) => phase !== "starting");
  }

  /** Resolves when all serve. @throws Error when one does not come up. */
  async start(): Promise<void> {
    const { count } = this.#options;
    await Promise.all(Array.from({ length: count }, () => this.#bring()));
    await this.spread();
  }

  /** Nobody leaves the port: connections go to all. Any one does it for all. */
  async spread(): Promise<void> {
    const [one] = this.members.filter(({ phase }) => phase === "serving");
    await one?.channel.ask({ do: "spread" }).catch(() => {});
  }

  /**
   * Replaces all workers, one after the other, by what `spawn` starts now. Returns the versions.
   * @throws UpgradeError
   */
  async upgrade(): Promise<{ readonly from: string; readonly to: string }> {
    if (this.#isEnding) throw new UpgradeError("The proxy is shutting down.");
    const finishing = this.members.filter(({ phase }) => phase === "retiring").length;
    if (this.#upgrading)
      throw new UpgradeError("An upgrade is under way; try again when it is over.");
    if (finishing > (GENERATIONS - 2) * this.#options.count) {
      throw new UpgradeError(
        `${finishing} workers that were replaced finish what they have; try again when they have ended.`,
      );
    }
    this.#upgrading = true;
    const old = this.members.filter(({ phase }) => phase === "serving");
    let replaced = 0;
    let to = "";
    try {
      for (const member of old) {
        // For one that has died another of this version has come.
        if (this.#members.has(member)) to = await this.#replace(member);
        replaced += 1;
      }
    } catch (error) {
      const reason = errorMessage(error);
      const state =
        replaced === 0
          ? "Nothing was changed"
          : `${replaced} of ${old.length} workers were replaced`;
      throw new UpgradeError(`${state}: ${reason}.`);
    } finally {
      this.#upgrading = false;
      void this.spread();
    }
    return { from: old[0]?.version ?? "", to };
  }

  /** Returns the version of what takes its place. @throws Error when that does not come up; then nothing is changed. */
  async #replace(member: Member): Promise<string> {
    member.isSucceeded = true;
    try {
      const { version } = await this.#bring();
      await this.#retire(member);
      return version;
    } catch (error) {
      member.isSucceeded = false;
      // It died while it was hoped that this one comes up.
      if (!this.#members.has(member)) this.#bringAnother();
      throw error;
    }
  }

  /** Has new connections get this certificate, from one worker after the other; whether all can. */
  async renew(key: CertifiedKey): Promise<boolean> {
    const answers = [...this.#members].map((member) => {
      const answer = this.#turn.then(() => {
        // Its new listener comes last, and takes the place of the old one as that leaves.
        const place = this.#listeners.placeOf(member, 1);
        return member.ask({ do: "certificate", key, place }, START_LIMIT_MS).catch(() => true);
      });
      this.#turn = answer;
      return answer;
    });
    this.#renewing += 1;
    const all = await Promise.all(answers);
    this.#renewing -= 1;
    void this.spread();
    return all.every((can) => can === true);
  }

  /** Whether the order of listeners changes: workers come up just now, are replaced, or get another certificate. */
  get isChanging(): boolean {
    const isStarting = [...this.#members].some(({ phase }) => phase === "starting");
    return isStarting || this.#upgrading || this.#renewing > 0;
  }

  /**
   * Another supervisor has `listeners` workers at the port, which came last. Resolves when all workers here
   * know that the nodes are its own from now on.
   */
  async handOver(listeners: number): Promise<void> {
    this.#isEnding = true;
    for (let at = 0; at < listeners; at += 1) this.#listeners.joined(Symbol());
    const told = [...this.#members].map((member) => member.ask({ do: "moved" }, HEAR_LIMIT_MS));
    await Promise.allSettled(told);
  }

  /** After that: all leave the port, one after the other. Resolves when they have ended. */
  async leave(): Promise<void> {
    for (const member of this.members) await this.#retire(member);
    await this.#allGone();
  }

  /** Lets all finish; resolves when they have ended. @param limitMs Who has not by then hangs, and is killed soon after. */
  async drain(limitMs: number): Promise<void> {
    this.#isEnding = true;
    for (const member of this.#members) member.finish(limitMs);
    await this.#allGone();
  }

  /** Ends all at once. */
  async stop(): Promise<void> {
    this.#isEnding = true;
    for (const member of this.#members) member.kill();
    await this.#allGone();
  }

  async #allGone(): Promise<void> {
    await Promise.all([...this.#members].map(({ exited }) => exited));
  }

  /** Starts a worker; resolves when it serves. @throws Error when it does not come up. */
  async #bring(): Promise<Member> {
    const { table, beginning, port } = this.#options;
    const member: Member = new Member(freeRow(table, this.#members), this.#options, (question) =>
      this.#options.answer(question, member),
    );
    this.#members.add(member);
    countRows(table, this.#members);
    const ended = member.exited.then((how) => {
      this.#ended(member, how);
      throw new WorkersError(`a worker ended before it served (${how})`);
    });
    ended.catch(() => {});
    const begin = { do: "begin", protocol: PROTOCOL, ...beginning(), row: member.row } as const;
    try {
      const version = await Promise.race([member.ask(begin, START_LIMIT_MS), ended]);
      if (typeof version === "string") member.version = version;
      const listens = this.#turn.then(async () => {
        member.mayListen = true;
        await Promise.race([member.ask({ do: "listen", port }, START_LIMIT_MS), ended]);
        if (!this.#hasListened) this.#options.firstListens();
        this.#hasListened = true;
        this.#listeners.joined(member);
      });
      this.#turn = listens.catch(() => {});
      await listens;
      if (this.#isEnding) throw new Error(ENDS);
    } catch (error) {
      // Clients may be connected to one that has been told to end with all others.
      if (member.phase !== "leaving") member.kill();
      const reason = this.#isEnding ? ENDS : errorMessage(error);
      throw new WorkersError(`a worker does not come up: ${reason}`);
    }
    member.phase = "serving";
    const { pid, row } = member;
    this.#options.log.info("worker serves", {
      pid,
      row,
      version: member.version,
      rows: table.rowsInUse,
    });
    return member;
  }

  /** Resolves when it has left the port. */
  async #retire(member: Member): Promise<void> {
    const { log } = this.#options;
    const leaves = this.#turn.then(async () => {
      const place = this.#listeners.placeOf(member);
      if (place === null) return true;
      member.phase = "retiring";
      const others = this.#listeners.placesWhere((one) => typeof one === "symbol");
      const to = others.length === 0 ? {} : { to: others };
      const retire = { do: "retire", ...place, ...to } as const;
      const clean = await member.ask(retire, HEAR_LIMIT_MS).catch(() => false);
      this.#listeners.left(member);
      return clean === true;
    });
    this.#turn = leaves;
    if (await leaves) return;
    log.warning("connections that a worker had not accepted yet were reset", { pid: member.pid });
  }

  #ended(member: Member, how: number | string): void {
    const { log, table } = this.#options;
    this.#members.delete(member);
    this.#listeners.left(member);
    member.channel.close();
    table.clear(member.row, CONTROL_ROW);
    countRows(table, this.#members);
    this.#options.gone(member);
    const { pid, phase } = member;
    if (phase === "retiring" && how === 0) log.info("worker has finished", { pid });
    else if (phase === "retiring") {
      log.warning("worker died before it had finished", { how: member.endOf(how) });
    }
    const goOn = () => (member.isSucceeded ? undefined : this.#bringAnother());
    if (phase === "serving") this.#died(member.endOf(how), goOn);
  }

  #died(how: string, goOn: () => void): void {
    if (this.#isEnding) return;
    const { clock, log } = this.#options;
    const nowMs = clock.now();
    this.#deathsAtMs.push(nowMs);
    const recent = this.#deathsAtMs.filter((atMs) => nowMs - atMs < DEATHS_COUNT_FOR_MS).length;
    if (recent >= MOST_DEATHS) {
      this.#failed.reject(
        new WorkersError(`${recent} workers died within a minute, so all ends; the last: ${how}`),
      );
      return;
    }
    log.warning("worker died, another takes its place", { how, deaths: recent });
    goOn();
  }

  /** One that does not come up counts as one that died. */
  #bringAnother(): void {
    if (this.#isEnding) return;
    const later = () => void this.#options.clock.after(TRY_AGAIN_MS, () => this.#bringAnother());
    this.#bring().catch((error: unknown) => this.#died(errorMessage(error), later));
  }
}
