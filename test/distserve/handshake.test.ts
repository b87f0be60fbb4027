/** Each call of the handshake failing, hanging or answering nonsense, on either side. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import type { FaultRule } from "../../src/sim/server/faults.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { chat, messageOf, quiet, startRole } from "./cluster.ts";

const CALLS = ["engine_info", "p2p_initialize", "p2p_connect"] as const;
const SIDES = ["Prefill", "Decode"] as const;
const FAULTS = {
  failing: { kind: "answer", status: 500 },
  hanging: { kind: "hang", at: "before-headers" },
  "answering nonsense": { kind: "answer", status: 200, body: '["nonsense"]' },
  resetting: { kind: "reset" },
} as const satisfies Record<string, FaultRule["fault"]>;

const FAIL = { kind: "answer", status: 200, body: '{"status": 2}' } as const;

const CASES = SIDES.flatMap((side) => [
  ...CALLS.flatMap((call) =>
    Object.entries(FAULTS).map(([how, fault]) => ({ call, side, how, fault })),
  ),
  ...CALLS.slice(1).map((call) => ({ call, side, how: "answering FAIL", fault: FAIL })),
]);

interface Lab {
  readonly model: string;
  /** The engine with the fault; its node is fast, so that it is chosen first. */
  readonly faulty: RunningEngine;
  readonly engines: readonly RunningEngine[];
}

let proxy: ProxyProcess;
const labs: Lab[] = [];

async function add(url: string, model: string, role: string, speed: number): Promise<void> {
  const answer = await fetch(`${proxy.url}/nodes/add`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ url, status: { models: [model], role, speed } }),
  });
  expect(answer.status).toBe(200);
}

/** Engines of a model of its own, one of them faulty; `spare`: with another to take its place. */
async function startLab(
  { call, side, how, fault }: (typeof CASES)[number],
  spare: boolean,
): Promise<Lab> {
  const model = `${call} ${side} ${how} ${spare}`;
  const start = (role: "Prefill" | "Decode") => startRole(role, null, { models: [model] });
  const faulty = await start(side);
  faulty.setFaults([{ path: `/distserve/${call}`, fault }]);
  const peer = await start(side === "Prefill" ? "Decode" : "Prefill");
  await add(faulty.url, model, side, 1_000);
  await add(peer.url, model, side === "Prefill" ? "Decode" : "Prefill", 1);
  if (!spare) return { model, faulty, engines: [faulty, peer] };
  const other = await start(side);
  await add(other.url, model, side, 1);
  return { model, faulty, engines: [faulty, peer, other] };
}

beforeAll(async () => {
  const flags = ["--serving-strategy", "DistServe", "--no-warmup", "--queue-timeout", "0.5"];
  proxy = await startProxy([...flags, "--log-level", "error"]);
  for (const one of CASES) labs.push(await startLab(one, true), await startLab(one, false));
  await until("all nodes are healthy", async () =>
    Object.values(await proxy.status()).every(({ state }) => state === "healthy"),
  );
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await Promise.all(labs.flatMap(({ engines }) => engines.map((engine) => engine.stop(true))));
});

function labOf({ call, side, how }: (typeof CASES)[number], spare: boolean): Lab {
  const lab = labs.find(({ model }) => model === `${call} ${side} ${how} ${spare}`);
  if (lab === undefined) throw new Error("no such lab");
  return lab;
}

describe.concurrent("a call of the handshake", () => {
  test.each(CASES)(
    "$call, $how on the side of $side: the request goes to another pair",
    async (one) => {
      const { model, faulty, engines } = labOf(one, true);
      const answer = await chat(proxy.url, { model });
      expect([answer.status, await answer.json()]).toMatchObject([
        200,
        { object: "chat.completion" },
      ]);
      // It was tried, once or, while the tries went on behind, some times more.
      expect(faulty.state().requestsByPath[`/distserve/${one.call}`]).toBeWithin(1, 30);
      expect(faulty.state().totalRequests).toBe(0);
      expect(engines.map((engine) => engine.state().preservedSessions)).toEqual([0, 0, 0]);
    },
    60_000,
  );

  test.each(CASES)(
    "$call, $how on the side of $side, and no other pair: the error names it",
    async (one) => {
      const { model, faulty, engines } = labOf(one, false);
      const answer = await chat(proxy.url, { model });
      const message = await messageOf(answer);
      expect([answer.status, message]).toEqual([
        502,
        expect.stringContaining(`${faulty.url}/distserve/${one.call}`),
      ]);
      for (const { url } of engines) expect(message).toContain(url);
      expect(message).not.toContain("nonsense");
      expect(engines.map((engine) => engine.state().totalRequests)).toEqual([0, 0]);
    },
    60_000,
  );
});

test("nothing is left of all that", async () => {
  await quiet(
    proxy,
    labs.flatMap(({ engines }) => engines),
  );
});
