/** DistServe with LMDeploy's own server on both sides, as its releases name their sessions. */
import type { ProxyProcess } from "../../test/support/proxy.ts";
import { rawPost } from "../../test/support/raw-client.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import { Engine } from "./engine.ts";
import { startExecutable } from "./executable.ts";
import type { EngineOptions, Kind } from "./kinds.ts";
import type { Row } from "./report.ts";

const POLL_MS = 50;
const LIMIT_MS = 15_000;
const MESSAGES = [{ role: "user", content: "Hello" }];

type Ids = NonNullable<EngineOptions["ids"]>;

const RELEASES: Readonly<Record<Ids, string>> = {
  released: "0.18.0 as released",
  number: "0.18.0, sessions named as up to 0.14.0",
  field: "0.18.0, sessions named as proposed in #4977, header of #4969 asked for",
};

export async function tryDistServe(kind: Kind, folder: string, executable: string): Promise<Row[]> {
  const rows: Row[] = [];
  for (const ids of ["released", "number", "field"] as const) {
    const proxy = await startExecutable(executable, ["--serving-strategy", "DistServe"]);
    const proxyUrl = proxy.url;
    const prefill = await Engine.start(kind, folder, { ids, proxyUrl, role: "Prefill" });
    const decode = await Engine.start(kind, folder, { ids, proxyUrl, role: "Decode" });
    const trial = new Trial(proxy, prefill, decode, { ids, proxyUrl });
    try {
      await untilHealthy(proxy, 2);
      if (ids === "released") await trial.refused();
      else await trial.all();
    } catch (error) {
      trial.add("the run", false, String(error));
    } finally {
      for (const each of [proxy, prefill, decode]) await each[Symbol.asyncDispose]();
    }
    rows.push(...trial.rows);
  }
  rows.push(await dummyPrefill(kind, folder, executable));
  return rows;
}

class Trial {
  readonly rows: Row[] = [];
  readonly #proxy: ProxyProcess;
  readonly #prefill: Engine;
  readonly #decode: Engine;
  readonly #options: { readonly ids: Ids; readonly proxyUrl: string };

  constructor(
    proxy: ProxyProcess,
    prefill: Engine,
    decode: Engine,
    options: { readonly ids: Ids; readonly proxyUrl: string },
  ) {
    this.#proxy = proxy;
    this.#prefill = prefill;
    this.#decode = decode;
    this.#options = options;
  }

  add(what: string, isGood: boolean, seen: string): void {
    const release = RELEASES[this.#options.ids];
    this.rows.push({
      ...{ part: "distserve", kind: "lmdeploy", what: `${release}: ${what}`, seen },
      verdict: isGood ? "good" : "bad",
    });
  }

  /** Sessions whose blocks the prefill engine keeps. */
  #kept(): number {
    const kept = new Set<unknown>();
    for (const { event, session, keeps, known } of this.#prefill.events()) {
      if (event === "begin" && keeps === true) kept.add(session);
      if (event === "freed" && known === true) kept.delete(session);
    }
    return kept.size;
  }

  async #untilFreed(): Promise<string> {
    const endMs = performance.now() + LIMIT_MS;
    const isClear = async () =>
      this.#kept() === 0 &&
      (await this.#prefill.atWork()) === 0 &&
      (await this.#decode.atWork()) === 0;
    while (performance.now() < endMs && !(await isClear())) await Bun.sleep(POLL_MS);
    if (await isClear()) return "";
    const atWork = [await this.#prefill.atWork(), await this.#decode.atWork()];
    return `; ${this.#kept()} sessions kept, ${atWork.join(" and ")} requests at work on prefill and decode`;
  }

  async refused(): Promise<void> {
    const answers: string[] = [];
    for (let n = 0; n < 4; n += 1) {
      const { status, text } = await ask(this.#proxy, n % 2 === 1, {});
      answers.push(`${status} ${text.slice(0, 200)}`);
    }
    const prefills = this.#prefill.events().filter(({ event }) => event === "begin").length;
    this.add(
      "4 requests",
      answers.every((answer) => /^50[12] /.test(answer)) && prefills <= 1,
      `${prefills} prefills ran and their blocks are lost; the client gets ${answers.at(-1)}`,
    );
  }

  async all(): Promise<void> {
    await this.#answers();
    await this.#ownFields();
    await this.#leaving();
    await this.#broken();
    await this.#decodeKilled();
    await this.#prefillKilled();
  }

  async #answers(): Promise<void> {
    const got: string[] = [];
    for (const stream of [false, true]) {
      for (const path of ["/v1/chat/completions", "/v1/completions"]) {
        const { status, isWhole } = await ask(this.#proxy, stream, {}, path);
        got.push(isWhole ? "whole" : String(status));
      }
    }
    const kept = await this.#untilFreed();
    const migrated = this.#decode.events().filter(({ migrates }) => migrates === true).length;
    this.add(
      "chat and completions, whole and streamed",
      got.every((each) => each === "whole") && migrated === 4 && kept === "",
      `${got.join(", ")}; ${migrated} migrations${kept}`,
    );
  }

  async #ownFields(): Promise<void> {
    const mine = { preserve_cache: true, with_cache: true };
    const { isWhole, status } = await ask(this.#proxy, false, mine);
    const kept = await this.#untilFreed();
    this.add(
      "a client that sets DistServe's fields itself",
      isWhole && kept === "",
      `${status}${kept}`,
    );
  }

  async #leaving(): Promise<void> {
    const exchange = rawPost(this.#proxy.port, "/v1/chat/completions", {
      ...{ model: "tiny", max_tokens: 2_000, stream: true, ignore_eos: true, messages: MESSAGES },
    });
    const endMs = performance.now() + LIMIT_MS;
    while (performance.now() < endMs && exchange.receivedBytes < 400) await Bun.sleep(POLL_MS);
    exchange.leave();
    const kept = await this.#untilFreed();
    this.add(
      "a client that leaves in mid-stream",
      kept === "",
      `both engines idle, all freed${kept}`,
    );
  }

  async #broken(): Promise<void> {
    this.#decode.signalMain("SIGUSR1");
    await Bun.sleep(POLL_MS);
    const whole = await ask(this.#proxy, false, {});
    const streamed = await ask(this.#proxy, true, {});
    this.#decode.signalMain("SIGUSR1");
    const kept = await this.#untilFreed();
    const isTold = !whole.isWhole && !streamed.isWhole && whole.status !== 200;
    this.add(
      "a decode engine whose inferences fail",
      isTold && kept === "",
      `whole ${whole.status}, streamed ${streamed.status} with its error${kept}`,
    );
  }

  async #decodeKilled(): Promise<void> {
    const exchange = rawPost(this.#proxy.port, "/v1/chat/completions", {
      ...{ model: "tiny", max_tokens: 2_000, stream: true, ignore_eos: true, messages: MESSAGES },
    });
    const endMs = performance.now() + LIMIT_MS;
    while (performance.now() < endMs && exchange.receivedBytes < 400) await Bun.sleep(POLL_MS);
    this.#decode.signal("SIGKILL");
    const { complete, body } = await exchange.ended;
    await this.#decode.restart({ ...this.#options, role: "Decode" });
    const isCut = !complete || body.includes('"error"');
    await this.#goesOn("the decode engine killed in mid-stream and started again", isCut);
  }

  async #prefillKilled(): Promise<void> {
    this.#prefill.signal("SIGKILL");
    await this.#prefill.restart({ ...this.#options, role: "Prefill" });
    await this.#goesOn("the prefill engine killed and started again", true);
  }

  async #goesOn(what: string, isHonest: boolean): Promise<void> {
    const startMs = performance.now();
    const answers = [];
    for (let n = 0; n < 4; n += 1) answers.push(await ask(this.#proxy, n % 2 === 1, {}));
    const wholes = answers.filter(({ isWhole }) => isWhole).length;
    const kept = await this.#untilFreed();
    const failed = answers.find(({ isWhole }) => !isWhole);
    const why = failed === undefined ? "" : `; ${failed.status} ${failed.text.slice(0, 120)}`;
    const tookMs = performance.now() - startMs;
    this.add(
      what,
      isHonest && wholes === 4 && kept === "",
      `${isHonest ? "" : "a cut stream looked whole; "}then ${wholes} of 4 whole within ${(tookMs / 1e3).toFixed(1)} s${why}${kept}`,
    );
  }
}

interface Answered {
  readonly status: number;
  readonly text: string;
  readonly isWhole: boolean;
}

async function ask(
  proxy: ProxyProcess,
  stream: boolean,
  more: object,
  path = "/v1/chat/completions",
): Promise<Answered> {
  const tokens = 12;
  const input = path.includes("chat") ? { messages: MESSAGES } : { prompt: "Hello" };
  const exchange = rawPost(proxy.port, path, {
    ...{ model: "tiny", max_tokens: tokens, ignore_eos: true, stream, ...input, ...more },
    ...(stream ? { stream_options: { include_usage: true } } : {}),
  });
  const late = setTimeout(() => exchange.leave(), LIMIT_MS);
  const { status, body, complete } = await exchange.ended;
  clearTimeout(late);
  const text = body.toString();
  const isCounted = new RegExp(`"completion_tokens":\\s?${tokens}\\b`).test(text);
  return { status, text, isWhole: complete && status === 200 && isCounted };
}

async function dummyPrefill(kind: Kind, folder: string, executable: string): Promise<Row> {
  await using decode = await Engine.start(kind, folder, { role: "Decode" });
  const flags = ["--serving-strategy", "DistServe", "--dummy-prefill", "--decode", decode.url];
  await using proxy = await startExecutable(executable, flags);
  await untilHealthy(proxy);
  const answers = [await ask(proxy, false, {}), await ask(proxy, true, {})];
  const shown = answers.map(({ isWhole, status, text }) =>
    isWhole ? "whole" : `${status} ${text.slice(0, 100)}`,
  );
  return {
    ...{ part: "distserve", kind: "lmdeploy", what: `${RELEASES.released}: --dummy-prefill` },
    verdict: answers.every(({ isWhole }) => isWhole) ? "good" : "bad",
    seen: `chat whole and streamed: ${shown.join(", ")}`,
  };
}
