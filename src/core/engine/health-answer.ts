import type { Failure } from "../failure.ts";
import type { Answer } from "./answer.ts";

/** What one health probe found; `bad_answer`: somebody answered what no engine in good health does. */
export type ProbeResult = { readonly kind: "ok" | "sleeping" | "initializing" } | ProbeFailure;

export type ProbeFailure = Failure | { readonly kind: "bad_answer"; readonly detail: string };

/** What an engine's answer to a probe means. Source: LMDeploy's `/health`, whose older releases answer 200 with nothing. */
export function readHealth(path: string, answer: Answer | Failure): ProbeResult {
  if ("kind" in answer) {
    const detail = `GET ${path}: ${answer.detail}`;
    return { kind: answer.kind, detail };
  }
  const status = healthStatus(answer.body);
  if (answer.status === 200) return { kind: status === "sleeping" ? "sleeping" : "ok" };
  if (answer.status === 503 && status === "initializing") return { kind: "initializing" };
  const advice = answer.status === 404 ? "; set --health-path to a path the engine has" : "";
  return { kind: "bad_answer", detail: `GET ${path} answered ${answer.status}${advice}` };
}

function healthStatus(body: string): string | null {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null && "status" in value
      ? String(value.status)
      : null;
  } catch {
    return null;
  }
}

/** Whether somebody answered the probe, whatever. */
export function isAnswer({ kind }: ProbeResult): boolean {
  return kind === "ok" || kind === "sleeping" || kind === "initializing" || kind === "bad_answer";
}
