import { describe, expect, test } from "bun:test";
import { parse } from "./parse.ts";

const AT = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318/base?key=canary" };

function traced(env: Readonly<Record<string, string>>) {
  const { config, notes } = parse("", { env });
  return { traces: config.traces, notes: notes.map(({ text }) => text) };
}

test("an endpoint switches traces on, with OpenTelemetry's defaults", () => {
  expect(traced(AT)).toEqual({
    traces: {
      to: "http://collector:4318",
      protocol: "http/protobuf",
      sampler: "parentbased_always_on",
      ratio: 1,
      queueSize: 2_048,
      batchSize: 512,
      delayMs: 5_000,
      timeoutMs: 30_000,
    },
    notes: [],
  });
  expect(traced({ OTEL_TRACES_EXPORTER: "otlp" }).traces?.to).toBe("http://localhost:4318");
  const own = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://other/v1/traces" };
  expect(traced({ ...AT, ...own }).traces?.to).toBe("https://other");
});

test("variables say how", () => {
  const { traces, notes } = traced({
    ...AT,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.01",
    OTEL_BSP_MAX_QUEUE_SIZE: "100",
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "200",
    OTEL_BSP_SCHEDULE_DELAY: "50",
    OTEL_BSP_EXPORT_TIMEOUT: "60",
    OTEL_SERVICE_NAME: "edge",
  });
  expect(traces).toMatchObject({
    protocol: "http/json",
    sampler: "parentbased_traceidratio",
    ratio: 0.01,
    queueSize: 100,
    batchSize: 100,
    delayMs: 50,
    timeoutMs: 60,
  });
  expect(notes).toEqual([]);
});

describe("off, without a word, with", () => {
  test.each([
    [{}],
    [{ ...AT, OTEL_SDK_DISABLED: "TRUE" }],
    [{ ...AT, OTEL_TRACES_EXPORTER: "none" }],
    [{ OTEL_SERVICE_NAME: "edge", OTEL_RESOURCE_ATTRIBUTES: "a=b" }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "" }],
  ])("%j", (env) => {
    expect(traced(env)).toEqual({ traces: null, notes: [] });
  });
});

describe("a variable that cannot act is said, and its value is not:", () => {
  test.each([
    ["OTEL_TRACES_SAMPLER", "canary", "OTEL_TRACES_SAMPLER can be always_on, "],
    ["OTEL_TRACES_SAMPLER_ARG", "canary", "has no effect on the sampler parentbased_always_on"],
    ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/json; http/protobuf is used"],
    ["OTEL_BSP_MAX_QUEUE_SIZE", "canary", "must be a number from 1 to 1000000; 2048 is used"],
    ["OTEL_BSP_SCHEDULE_DELAY", "-1", "5000 is used"],
    ["OTEL_PROPAGATORS", "canary", "no effect here: OTEL_PROPAGATORS; traces are all that is sent"],
    ["OTEL_METRICS_EXPORTER", "canary", "no effect here: OTEL_METRICS_EXPORTER"],
    ["OTEL_TRACES_EXPORTER", "canary", "otlp or none here; no traces are sent"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "canary", "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL"],
  ])("%s=%s", (name, value, said) => {
    const { notes } = traced({ ...AT, [name]: value });
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain(said);
    expect(notes[0]).not.toContain("canary");
  });

  test("all of them, when nothing is traced", () => {
    const { traces, notes } = traced({ OTEL_TRACES_SAMPLER: "always_on", "OTEL_A\nB": "x" });
    expect(traces).toBeNull();
    expect(notes).toEqual([
      "no effect here: OTEL_TRACES_SAMPLER, …; no OTEL_EXPORTER_OTLP_ENDPOINT is set",
    ]);
  });
});
