import type { Member } from "../cluster/member.ts";
import type { ToControl } from "../cluster/messages.ts";
import type { Administration } from "./administration.ts";
import { askEngines } from "./ask-engines.ts";
import type { Assembled } from "./assemble.ts";
import type { Gathered } from "./gathered.ts";
import type { WorkersWatchers } from "./gathered-live.ts";
import type { WorkersEnd } from "./workers-end.ts";

/** Who in the control plane knows what workers ask. */
export interface Asked {
  readonly administration: Administration;
  readonly ending: WorkersEnd;
  readonly gathered: Gathered;
  readonly watchers: WorkersWatchers;
  readonly engines: Assembled;
}

/** What the control plane answers a worker. @throws Error for what is no question, or one of another version's */
export function answerWorker(
  question: unknown,
  member: Member,
  { administration, ending, gathered, watchers, engines }: Asked,
): unknown {
  if (!isQuestion(question)) throw new Error("not understood");
  if (question.do === "administer") return administration.answer(question);
  if (question.do === "counted") {
    ending.ends(member, question.cut ?? 0);
    return gathered.counted(member, question.page);
  }
  if (question.do === "watch") return watchers.watch(member, question.watcher);
  if (question.do === "unwatch") return watchers.unwatch(member, question.watcher);
  return askEngines(question, engines);
}

function isQuestion(question: unknown): question is ToControl {
  return typeof question === "object" && question !== null && "do" in question;
}
