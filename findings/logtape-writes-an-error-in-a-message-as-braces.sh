#!/usr/bin/env bash
# @logtape/logtape 2.4.2: `jsonLinesFormatter` writes an Error that stands in the message as `{}`:
# "The engine failed: {}". By log.error("… {error}", { error }) the properties beside the message still have its name
# and stack; by the tagged template, log.error`… ${error}`, nothing else has them, and the error is lost.
#
# Expected: the error's text, as `defaultTextFormatter` writes it for the very same record, or at least what the
# formatter itself makes of an Error among the properties (`name`, `message`, `stack`). Tests and terminals show
# the text format, the JSON of production shows braces on the day an engine fails. Seen: the lines below. Whoever
# writes JSON names the error as a property and leaves it out of the message, or writes `error.message` there.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true, "dependencies": {"@logtape/logtape": "2.4.2"}}' >package.json
bun install --silent >/dev/null

cat >log.ts <<'TS'
import { configure, defaultTextFormatter, getLogger, jsonLinesFormatter } from "@logtape/logtape";

let text = "";
let json = "";
await configure({
  sinks: {
    text: (record) => (text = defaultTextFormatter(record)),
    json: (record) => (json = jsonLinesFormatter(record)),
  },
  loggers: [
    { category: "router", sinks: ["text", "json"] },
    { category: ["logtape", "meta"], sinks: [], lowestLevel: "error" },
  ],
});
const log = getLogger("router");
const error = new Error("connection refused");

function line(how: string) {
  const { message, properties } = JSON.parse(json);
  const has = (whole: string) => (whole.includes("connection refused") ? "named" : "lost");
  console.log(`${how}: text ${has(text)}, message ${message}, properties ${has(JSON.stringify(properties))}`);
}
log.error("The engine failed: {error}", { error });
line("placeholder");
log.error`The engine failed: ${error}`;
line("template");
log.error("The engine failed: {reason}", { reason: error.message });
line("its text");
TS

echo "bun $(bun --version)"
out=$(timeout 60 bun log.ts)
echo "$out"
expected='placeholder: text named, message The engine failed: {}, properties named
template: text named, message The engine failed: {}, properties lost
its text: text named, message The engine failed: "connection refused", properties named'
[ "$out" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: an Error in a message is named in text and is two braces in JSON."
