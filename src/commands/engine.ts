/** `lmproxy engine`: one simulated LLM engine. */
import { Type } from "@sinclair/typebox";
import { Command } from "commander";
import { type Flag, flagGroup } from "../config/flag.ts";
import * as kinds from "../config/kinds.ts";
import { oneOf } from "../config/schema.ts";
import { UsageError } from "../config/usage-error.ts";
import { ENGINE_KINDS } from "../core/engine/kinds.ts";
import { ROLES } from "../core/engine/roles.ts";
import { VOICES } from "../sim/server/answer-text.ts";
import type { EngineOptions } from "../sim/server/engine-options.ts";
import { RELEASES } from "../sim/server/release.ts";
import { type Run, readArguments } from "./command.ts";
import { listenError } from "./listen-error.ts";
import { untilSignal } from "./signals.ts";
import { count } from "./table.ts";

const Word = Type.String({ pattern: "^[^\\s\\x00-\\x1f\\x7f]+$" });
const WordOrNull = Type.Union([Word, Type.Null()], { default: null });

const Settings = Type.Object({
  models: Type.Array(Word, { default: [] }),
  host: Type.String({ pattern: "^[^\\s/\\[\\]]+$", default: "127.0.0.1" }),
  port: Type.Integer({ minimum: 0, maximum: 65535, default: 23333 }),
  advertisedUrl: WordOrNull,
  proxyUrls: Type.Array(Word, { default: [] }),
  role: oneOf(ROLES, { default: "Hybrid" }),
  kind: oneOf(ENGINE_KINDS, { default: "lmdeploy" }),
  release: oneOf(RELEASES, { default: "0.18" }),
  abortHandling: Type.Boolean({ default: false }),
  speed: Type.Union([Type.Number({ exclusiveMinimum: 0 }), Type.Null()], { default: null }),
  seed: Type.Integer({ minimum: 0, default: 1 }),
  timeScale: Type.Number({ minimum: 0, default: 1 }),
  voice: oneOf(VOICES, { default: "sentences" }),
  metrics: Type.Boolean({ default: true }),
  ranks: Type.Integer({ minimum: 1, maximum: 64, default: 1 }),
  tpSize: Type.Integer({ minimum: 1, maximum: 1024, default: 1 }),
  apiKey: WordOrNull,
  allowTerminate: Type.Boolean({ default: false }),
});
const { properties: fields } = Settings;

const FLAGS: readonly Flag[] = [
  ...flagGroup("Engine", [
    {
      key: "models",
      names: ["model", "model-name"],
      argument: "name",
      kind: kinds.text("a model's name without spaces"),
      value: fields.models,
      isList: true,
      help: "Model to serve; needed. Several: the others are adapters.",
    },
    {
      key: "host",
      names: ["host", "server-name"],
      argument: "address",
      kind: kinds.bindAddress,
      value: fields.host,
      help: "Address to listen on.",
    },
    {
      key: "port",
      names: ["port", "server-port"],
      argument: "number",
      kind: kinds.port,
      value: fields.port,
      help: "Port to listen on; 0 picks a free one.",
    },
    {
      key: "proxyUrls",
      names: ["proxy-url"],
      argument: "url",
      kind: kinds.nodeUrl,
      value: fields.proxyUrls,
      isList: true,
      help: "Proxy to register with, before the engine listens.",
    },
    {
      key: "advertisedUrl",
      names: ["advertised-url"],
      argument: "url",
      kind: kinds.nodeUrl,
      value: fields.advertisedUrl,
      help: "URL to register, where others reach the engine by another one than it binds.",
    },
    {
      key: "role",
      names: ["role"],
      argument: "name",
      kind: kinds.choice(ROLES),
      value: fields.role,
      help: `What it does: ${ROLES.join(", ")}.`,
    },
    {
      key: "kind",
      names: ["kind"],
      argument: "name",
      kind: kinds.choice(ENGINE_KINDS),
      value: fields.kind,
      help: `Whose metrics and errors it shows: ${ENGINE_KINDS.join(", ")}.`,
    },
    {
      key: "release",
      names: ["release"],
      argument: "number",
      kind: kinds.choice(RELEASES),
      value: fields.release,
      help: `Which LMDeploy it is: ${RELEASES.join(", ")}.`,
    },
    {
      key: "apiKey",
      names: ["api-key"],
      argument: "key",
      kind: kinds.key,
      value: fields.apiKey,
      isSecret: true,
      help: "Key that it asks for; @path reads it from a file.",
    },
    {
      key: "allowTerminate",
      names: ["allow-terminate-by-client"],
      value: fields.allowTerminate,
      help: "GET /terminate ends it.",
    },
    {
      key: "abortHandling",
      names: ["enable-abort-handling"],
      value: fields.abortHandling,
      help: "POST /abort_request works.",
    },
  ]),
  ...flagGroup("Simulation", [
    {
      key: "speed",
      names: ["speed"],
      argument: "number",
      kind: kinds.decimal("a number above 0"),
      value: fields.speed,
      help: "Relative capability to register with.",
    },
    {
      key: "timeScale",
      names: ["time-scale"],
      argument: "factor",
      kind: kinds.decimal("a number, 0 or more"),
      value: fields.timeScale,
      help: "Factor on all times: 0.1 is ten times as fast, 0 as fast as the machine can.",
    },
    {
      key: "seed",
      names: ["seed"],
      argument: "number",
      kind: kinds.wholeNumber("a whole number"),
      value: fields.seed,
      help: "Seed of answer lengths and of whatever else is drawn.",
    },
    {
      key: "voice",
      names: ["text"],
      argument: "name",
      kind: kinds.choice(VOICES),
      value: fields.voice,
      help: "What answers consist of: sentences, or tricky: words of several bytes.",
    },
    {
      key: "metrics",
      names: ["no-metrics"],
      value: fields.metrics,
      sets: false,
      help: "No /metrics, as an engine started without them.",
    },
    {
      key: "ranks",
      names: ["dp"],
      argument: "number",
      kind: kinds.wholeNumber("a whole number from 1 to 64"),
      value: fields.ranks,
      help: "Data-parallel ranks, one series each in /metrics.",
    },
    {
      key: "tpSize",
      names: ["tp"],
      argument: "number",
      kind: kinds.wholeNumber("a whole number from 1 to 1024"),
      value: fields.tpSize,
      help: "Tensor-parallel size in /distserve/engine_info.",
    },
  ]),
];

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy engine")
    .description("Run a simulated LLM engine that answers as LMDeploy's api_server does.")
    .addHelpText(
      "after",
      [
        "",
        "While it runs: GET /debug/state; POST /debug/set with JSON such as",
        '{"pace": 0} (hangs behind a healthy /health; 0.1: ten times slower; 1: as ever),',
        '{"health": "unhealthy"}, {"models": ["a", "b"]}, {"dead": true}.',
        "Variables: LMPROXY_ENGINE_ and the first name, as LMPROXY_ENGINE_PORT.",
      ].join("\n"),
    );
  const line = await readArguments(command, FLAGS, Settings, argv, surroundings, "LMPROXY_ENGINE_");
  if (line === null) return 0;
  const { advertisedUrl, apiKey, speed, ...settings } = line.values;
  if (settings.models.length === 0) {
    throw new UsageError("lmproxy engine needs --model, the name of the model it serves");
  }
  const stopped = Promise.withResolvers<void>();
  const options: EngineOptions = {
    ...settings,
    ...(advertisedUrl === null ? {} : { advertisedUrl }),
    ...(apiKey === null ? {} : { apiKey }),
    ...(speed === null ? {} : { speed }),
    log: (text) => void surroundings.print(`${text}\n`),
    onTerminate: stopped.resolve,
  };
  const { startEngine } = await import("../sim/server/api-server.ts");
  const signal = untilSignal();
  try {
    const engine = await startEngine(options);
    const name = await Promise.race([signal, stopped.promise]);
    const { openRequests } = engine.state();
    if (name !== undefined && openRequests > 0) {
      await surroundings.print(
        `${name}: finishing ${count(openRequests, "request")}; again ends it at once\n`,
      );
    }
    await engine.drain();
  } catch (error) {
    const { host, port } = settings;
    throw listenError(error, { what: "engine", flag: "--port", host, port });
  }
  return 0;
};
