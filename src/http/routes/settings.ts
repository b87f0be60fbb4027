import { t } from "elysia";
import { ProxyError } from "../../core/errors.ts";
import { LINE_FORMATS } from "../../observe/line-format.ts";
import { LOG_LEVELS, type Log } from "../../observe/log.ts";
import { failures } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import { LogSettings, Reloaded, Settings } from "../setting-schemas.ts";
import { route } from "./route.ts";

const REFUSALS = ["invalid_api_key", "forbidden", "internal_error"] as const;
const EXAMPLE = { level: "info", format: "json" };

/** What the proxy was started with, and what may be changed while it runs. */
export const settingRoutes = [
  route({
    method: "GET",
    path: "/debug/config",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "getConfig",
      summary: "Show what the proxy was started with, keys masked",
      responses: {
        ...ok(
          "Settings",
          {
            flags: { "--port": "8000", "--admin-key": "***" },
            state_locked: true,
            state_problem: null,
          },
          "Each flag with its value, as --print-config shows it",
        ),
        ...failures(REFUSALS),
      },
    },
    response: Settings,
    answer: (_, { flags, stateLocked, stateProblem }) => ({
      flags: flags(),
      state_locked: stateLocked(),
      state_problem: stateProblem(),
    }),
  }),
  route({
    method: "POST",
    path: "/reload",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "reload",
      summary: "Read the files of the configuration again",
      description:
        "As SIGHUP does: keys that flags name by `@path` count anew from the next request on, and new " +
        "connections get the certificate of `--tls-cert` as it is now. A file that cannot be used " +
        "changes nothing, and is a 400 that says why.",
      responses: {
        ...ok(
          "Reloaded",
          { changed: ["--api-keys"], needs_new_process: [] },
          "What has changed, and what takes a new process",
        ),
        ...failures(["invalid_request", ...REFUSALS]),
      },
    },
    response: Reloaded,
    answer: (_, { reload }) => reload(),
  }),
  route({
    method: "GET",
    path: "/debug/log",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "getLog",
      summary: "Show the level and the format of the log",
      responses: { ...ok("LogSettings", EXAMPLE, "As it is now"), ...failures(REFUSALS) },
    },
    response: LogSettings,
    answer: (_, { log }) => settingsOf(log),
  }),
  route({
    method: "POST",
    path: "/debug/log",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "setLog",
      summary: "Change the level or the format of the log, until the proxy ends",
      description: "What is left out stays. A restart brings back --log-level and --log-format.",
      responses: {
        ...ok("LogSettings", EXAMPLE, "As it is now"),
        ...failures(["invalid_request", ...REFUSALS]),
      },
    },
    body: t.Partial(LogSettings),
    response: LogSettings,
    answer: ({ body: { level, format } }, { log }) => {
      if (level === undefined && format === undefined) {
        const message = `Say what to change: a level (${LOG_LEVELS.join(", ")}) or a format (${LINE_FORMATS.join(", ")}).`;
        throw new ProxyError("invalid_request", message, { param: "level" });
      }
      change(log, { ...settingsOf(log), ...(level && { level }), ...(format && { format }) });
      return settingsOf(log);
    },
  }),
];

function settingsOf({ level, format }: Log) {
  return { level, format };
}

/** It is said under the level that shows it. */
function change(log: Log, { level, format }: ReturnType<typeof settingsOf>): void {
  const say = () => log.info("log changed", { log_level: level, log_format: format });
  const isShown = log.logs("info");
  if (isShown) say();
  log.level = level;
  log.format = format;
  if (!isShown) say();
}
