/** What can be wrong with a proxy: who may call it, what it keeps, what it may open. Pure. */
import { shortTime } from "../table.ts";
import type { Check, Found, Snapshot } from "./snapshot.ts";

/** As the alert LmproxyCertificateExpires has it. */
const EXPIRES_MS = 14 * 86_400_000;
/** Clocks that differ by less are one clock to whoever reads logs; `Date` counts whole seconds, ms. */
const APART_MS = 5_000;
/** Two sockets a request, and what else there is. */
const FEW_FILES = 4_096;
const FULL = 0.8;

/** A flag that is not given, or an empty list. */
function isUnset(text: string | undefined): boolean {
  return text === undefined || text === "not set" || text === "none";
}

export function expiring({ certificates, nowMs }: Snapshot): Found[] {
  return [...certificates].flatMap(([about, { notAfterMs }]) => {
    const leftMs = notAfterMs - nowMs;
    if (leftMs > EXPIRES_MS) return [];
    const when = shortTime(Math.abs(leftMs) / 1_000);
    return [
      {
        about,
        what:
          leftMs < 0 ? `its certificate expired ${when} ago` : `its certificate expires in ${when}`,
        advice:
          "renew it; lmproxy serves the new one after lmproxy reload, an engine after its restart",
      },
    ];
  });
}

export function misnamed({ certificates }: Snapshot): Found[] {
  return [...certificates]
    .filter(([, { fits }]) => !fits)
    .map(([about]) => ({
      about,
      what: `its certificate is not for ${new URL(about).hostname}`,
      advice: "use a name that its subjectAltName holds, or have a certificate made for this one",
    }));
}

export function clocksApart({ aheadMs, url }: Snapshot): Found[] {
  const proxyMs = aheadMs.get(url) ?? 0;
  return [...aheadMs].flatMap(([about, ms]) => {
    const isProxy = about === url;
    const apartMs = isProxy ? ms : ms - proxyMs;
    if (Math.abs(apartMs) < APART_MS) return [];
    const by = shortTime(Math.abs(apartMs) / 1_000);
    const than = isProxy ? "this machine's" : "the proxy's";
    return [
      {
        about,
        what: `its clock is ${by} ${apartMs > 0 ? "ahead of" : "behind"} ${than}`,
        advice: "let NTP set both: logs and metrics cannot be laid side by side",
      },
    ];
  });
}

export const openToAll: Check = ({ url }, { flags }) => {
  const { "--host": host = "", "--trust-nodes": trusted = "" } = flags;
  const isLocal = /^(?:localhost|127\.|::1$)/.test(host);
  if (isLocal) return [];
  if (isUnset(flags["--admin-key"]) && isUnset(flags["--api-keys"])) {
    const what = `anybody who reaches ${host} may register, remove and end nodes, and use their models`;
    return [{ about: url, what, advice: "start it with --admin-key and --api-keys" }];
  }
  if (!/(?:^|\s)(?:0\.0\.0\.0|::)\/0(?:\s|$)/.test(trusted)) return [];
  const what = "any address may register nodes, which then get clients' requests";
  return [{ about: url, what, advice: "name the engines' networks with --trust-nodes" }];
};

export const noAdminKey: Check = ({ url }, { flags }) =>
  isUnset(flags["--api-keys"]) || !isUnset(flags["--admin-key"])
    ? []
    : [
        {
          about: url,
          what: "every client's API key may also remove nodes and end engines",
          advice: "start it with --admin-key, too",
        },
      ];

export const forgetful: Check = ({ url }, { flags }) =>
  ["--state", "--node", "--prefill", "--decode"].some((name) => !isUnset(flags[name]))
    ? []
    : [
        {
          about: url,
          what: "nodes are kept in no file and none is named: a restart forgets them all",
          advice: "give it --state PATH, or name the nodes with --node",
        },
      ];

export const sharedState: Check = ({ url }, { flags, stateLocked }) =>
  stateLocked !== false
    ? []
    : [
        {
          about: url,
          what: `nothing keeps a second proxy from writing ${flags["--state"]}, too: it cannot be locked`,
          advice:
            "give each proxy its own --state, in a directory of a local disk that it may write to",
        },
      ];

export const unsaved: Check = ({ url }, { flags, stateProblem }) =>
  stateProblem === null
    ? []
    : [
        {
          about: url,
          what: `its nodes cannot be saved to ${flags["--state"]} (${stateProblem}): a restart forgets what has changed`,
          advice: "make room, or let it write there; it tries again every 10 s",
        },
      ];

export const fewFiles: Check = ({ url }, { openFiles, mostFiles }) => {
  if (mostFiles === null) return [];
  const isFull = openFiles !== null && openFiles > FULL * mostFiles;
  if (mostFiles >= FEW_FILES && !isFull) return [];
  return [
    {
      about: url,
      what: `it may open ${mostFiles} files${openFiles === null ? "" : ` and has ${openFiles}`}; a request takes two`,
      advice: "raise LimitNOFILE (systemd), --ulimit nofile (Docker) or `ulimit -n`, to 65536",
    },
  ];
};
