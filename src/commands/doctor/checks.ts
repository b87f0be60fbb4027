/** All checks by their names, and what they find. Pure. */
import * as nodes from "./node-checks.ts";
import * as proxy from "./proxy-checks.ts";
import type { Check, Finding, Found, Snapshot } from "./snapshot.ts";

/** Those that need nobody's leave. */
const FROM_OUTSIDE: Readonly<Record<string, (seen: Snapshot) => readonly Found[]>> = {
  "certificate-expires": proxy.expiring,
  "certificate-name": proxy.misnamed,
  "clocks-apart": proxy.clocksApart,
};

const AS_ADMINISTRATOR: Readonly<Record<string, Check>> = {
  "no-node": nodes.noNode,
  "node-unreachable": nodes.unreachable,
  "node-failing": nodes.failing,
  "key-wanted": nodes.keyWanted,
  "models-unknown": nodes.modelsUnknown,
  "metrics-off": nodes.metricsOff,
  "samples-stale": nodes.staleSamples,
  "gauges-still": nodes.stillGauges,
  "models-differ": nodes.otherModels,
  "node-slow": nodes.slow,
  "other-traffic": nodes.otherTraffic,
  "pairs-unconnected": nodes.unpaired,
  "open-to-all": proxy.openToAll,
  "no-admin-key": proxy.noAdminKey,
  "nodes-forgotten": proxy.forgetful,
  "state-unlocked": proxy.sharedState,
  "state-unsaved": proxy.unsaved,
  "few-files": proxy.fewFiles,
};

/** Everything that is wrong, in the order of the checks. */
export function findings(seen: Snapshot): Finding[] {
  const { told } = seen;
  const named = (check: string, found: readonly Found[]) =>
    found.map((one) => ({ check, name: told?.after.nodes[one.about]?.name ?? null, ...one }));
  return [
    ...Object.entries(FROM_OUTSIDE).flatMap(([name, check]) => named(name, check(seen))),
    ...Object.entries(told === null ? {} : AS_ADMINISTRATOR).flatMap(([name, check]) =>
      told === null ? [] : named(name, check(seen, told)),
    ),
  ];
}
