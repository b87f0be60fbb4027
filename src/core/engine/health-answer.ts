import type { Failure } from "../failure.ts";
import type { Answer } from "./answer.ts";
import { ENGINE_FACTS, ENGINE_KINDS } from "./kinds.ts";

/** What one health probe found; `bad_answer`: somebody answered what no engine in good health does. */
export type ProbeResult = { readonly kind: "ok" | "sleeping" | "initializing" } | ProbeFailure;

export type ProbeFailure = Failure | { readonly kind: "bad_answer"; readonly detail: string };

/** What an engine's answer to a probe means; nobody has said yet which kind of engine it is. */
export function readHealth(path: string, answer: Answer | Failure): ProbeResult {
  if ("kind" in answer) {
    const detail = `GET ${path}: ${answer.detail}`;
    return { kind: answer.kind, detail };
  }
  for (const kind of ENGINE_KINDS) {
    const said = ENGINE_FACTS[kind].health(answer);
    if (said !== null) return { kind: said };
  }
  if (answer.status === 200) return { kind: "ok" };
  const advice = answer.status === 404 ? "; set --health-path to a path the engine has" : "";
  return { kind: "bad_answer", detail: `GET ${path} answered ${answer.status}${advice}` };
}

/** Whether somebody answered the probe, whatever. */
export function isAnswer({ kind }: ProbeResult): boolean {
  return kind === "ok" || kind === "sleeping" || kind === "initializing" || kind === "bad_answer";
}
