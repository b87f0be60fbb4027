#!/usr/bin/env bash
# ai 7.0.173 with @ai-sdk/openai-compatible 3.0.92, the provider for vLLM, SGLang, LMDeploy and the like:
# generateObject sends `response_format: {"type": "json_object"}` and shows the engine the schema nowhere, neither in
# `response_format` nor in a message. Only with `supportsStructuredOutputs: true` at the provider does it send it.
#
# Expected: the schema in `response_format`, which all of these engines can obey, or in the prompt, as these calls
# did for models without it. So the model has to guess the members' names, and what looks like an engine, or a proxy,
# that drops the schema is a client that never sent it. Seen: the two bodies below; `object.warnings` alone tells.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true, "dependencies": {"ai": "7.0.173", "@ai-sdk/openai-compatible": "3.0.92", "zod": "4.6.7"}}' >package.json
bun install --silent >/dev/null

cat >ask.ts <<'TS'
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject } from "ai";
import { z } from "zod";

let asked = "";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    asked = await request.text();
    const message = { role: "assistant", content: '{"city":"Rome"}' };
    return Response.json({
      id: "c",
      object: "chat.completion",
      created: 1,
      model: "m",
      choices: [{ index: 0, message, finish_reason: "stop" }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    });
  },
});
globalThis.AI_SDK_LOG_WARNINGS = false;
for (const supportsStructuredOutputs of [false, true]) {
  const provider = createOpenAICompatible({
    name: "engine",
    baseURL: `http://127.0.0.1:${server.port}/v1`,
    ...(supportsStructuredOutputs && { supportsStructuredOutputs }),
  });
  const schema = z.object({ city: z.string() });
  await generateObject({ model: provider("m"), schema, prompt: "Where?" });
  console.log(`${supportsStructuredOutputs ? "told" : "as it is"}: ${asked.includes('"city"') ? "schema" : "no schema"}`);
  console.error(asked);
}
server.stop(true);
TS

out=$(timeout 60 bun ask.ts)
echo "$out"
[ "$out" = 'as it is: no schema
told: schema' ] || { echo "This has changed."; exit 1; }
echo "As described: the schema is sent only by a provider that was told that engines know it."
