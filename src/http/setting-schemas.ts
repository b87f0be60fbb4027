import { type Static, t } from "elysia";

/** What a reload did, by flags. */
export const Reloaded = t.Object({
  changed: t.Array(t.String(), { description: "In force from now on" }),
  needs_new_process: t.Array(t.String(), { description: "In force only in a new process" }),
});

export type Reloaded = Static<typeof Reloaded>;

/** What the proxy was started with. */
export const Settings = t.Object({
  flags: t.Record(t.String(), t.String(), {
    description: "Each flag with its value as text, keys masked",
  }),
  state_locked: t.Union([t.Boolean(), t.Null()], {
    description: "Whether the state file is kept from other processes; null without one",
  }),
  state_problem: t.Union([t.String(), t.Null()], {
    description: "Why the state file could not be written last; null when it was, or there is none",
  }),
});

/** How much is logged, and how lines look. */
export const LogSettings = t.Object({
  level: t.Union([
    t.Literal("trace"),
    t.Literal("debug"),
    t.Literal("info"),
    t.Literal("warning"),
    t.Literal("error"),
    t.Literal("fatal"),
  ]),
  format: t.Union([t.Literal("json"), t.Literal("logfmt"), t.Literal("text")]),
});

/** What an upgrade changed, versions. */
export const Upgraded = t.Object({
  message: t.String(),
  from: t.String(),
  to: t.String(),
});
