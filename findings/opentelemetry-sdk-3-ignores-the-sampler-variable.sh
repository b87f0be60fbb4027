#!/usr/bin/env bash
# @opentelemetry/sdk-trace 3.1.0 reads neither OTEL_TRACES_SAMPLER nor OTEL_BSP_*: with always_off set it
# records every span. Version 2 (@opentelemetry/sdk-trace-base 2.12.1, under whose name there is no 3) obeys.
# Exporters still read theirs (OTEL_EXPORTER_OTLP_*), so that after an update traces go on arriving, all of
# them: whoever hands the SDK to users by those variables has to read them himself.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir "$folder/2" "$folder/3"
echo '{"private": true, "dependencies": {"@opentelemetry/api": "1.9.0", "@opentelemetry/sdk-trace-base": "2.12.1"}}' >"$folder/2/package.json"
echo '{"private": true, "dependencies": {"@opentelemetry/api": "1.10.0", "@opentelemetry/sdk-trace": "3.1.0"}}' >"$folder/3/package.json"

cat >"$folder/2/record.ts" <<'TS'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
provider.getTracer("t").startSpan("a span").end();
await provider.forceFlush();
console.log(exporter.getFinishedSpans().length);
TS
cat >"$folder/3/record.ts" <<'TS'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

const exporter = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
provider.getTracer("t").startSpan("a span").end();
await provider.forceFlush();
console.log(exporter.getFinishedSpans().length);
TS

seen=""
for version in 2 3; do
  cd "$folder/$version"
  bun install --silent >/dev/null
  seen="$seen$version.x: $(OTEL_TRACES_SAMPLER=always_off bun record.ts) span recorded; "
done
echo "OTEL_TRACES_SAMPLER=always_off, bun $(bun --version)"
echo "$seen"
if [ "$seen" != "2.x: 0 span recorded; 3.x: 1 span recorded; " ]; then
  echo "This has changed."
  exit 1
fi
echo "As described: version 2 obeys, version 3 does not."
