#!/usr/bin/env bash
# elysia 1.4.30 decodes what stands for `:name` in a path, and leaves what stands for `*` as it came:
# /models/:id gets "org/model" of /models/org%2Fmodel, /models/* gets "org%2Fmodel". Whoever moves a
# route from one to the other, so that names may hold slashes, has to decode by himself; and gains that
# an escaped slash can be told from a real one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true, "dependencies": {"elysia": "1.4.30"}}' >package.json
bun install --silent >/dev/null

cat >ask.ts <<'TS'
import { Elysia } from "elysia";

const seen: Record<string, string> = {};
for (const aot of [true, false]) {
  const app = new Elysia({ aot })
    .get("/named/:id", ({ params }) => params.id)
    .get("/rest/*", ({ params }) => params["*"]);
  for (const path of ["/named/org%2Fmodel", "/rest/org%2Fmodel", "/rest/org/model"]) {
    const answer = await app.handle(new Request(`http://localhost${path}`));
    seen[`${aot ? "compiled" : "dynamic"} ${path}`] = await answer.text();
  }
}
console.log(JSON.stringify(seen, null, 1));
TS

echo "elysia $(bun -p 'require("./node_modules/elysia/package.json").version'), bun $(bun --version)"
out=$(bun ask.ts)
echo "$out"
expected='{
 "compiled /named/org%2Fmodel": "org/model",
 "compiled /rest/org%2Fmodel": "org%2Fmodel",
 "compiled /rest/org/model": "org/model",
 "dynamic /named/org%2Fmodel": "org/model",
 "dynamic /rest/org%2Fmodel": "org%2Fmodel",
 "dynamic /rest/org/model": "org/model"
}'
if [ "$out" != "$expected" ]; then
  echo "This has changed."
  exit 1
fi
echo "As described: a named part is decoded, the rest is not."
