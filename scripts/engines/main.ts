/** `scripts/real-engines`: see its head. Ends with 1 when a row is bad. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { killAllAtExit } from "../../bench/host.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import { tryAdapters } from "./adapters.ts";
import { compareBytes } from "./bytes.ts";
import { tryDistServe } from "./distserve.ts";
import { Engine } from "./engine.ts";
import { startExecutable } from "./executable.ts";
import { tryFaults } from "./faults.ts";
import { cacheFolder } from "./install.ts";
import { tryKeys } from "./keys.ts";
import { KINDS, type Kind } from "./kinds.ts";
import { leave } from "./leaving.ts";
import { keep, writeTable } from "./page.ts";
import { markdown, type Row } from "./report.ts";
import { trySleep } from "./sleeping.ts";

const PARTS = ["bytes", "leaving", "keys", "faults", "sleep", "adapters", "distserve"] as const;
type Part = (typeof PARTS)[number];

const { values } = parseArgs({
  options: {
    kinds: { type: "string", default: KINDS.map(({ name }) => name).join(",") },
    parts: { type: "string", default: PARTS.join(",") },
    cache: { type: "string", default: cacheFolder() },
    lmproxy: { type: "string", default: join(import.meta.dir, "../../lmproxy") },
    write: { type: "boolean", default: false },
  },
});

async function runKind(kind: Kind, parts: readonly string[]): Promise<Row[]> {
  const folder = await kind.install(values.cache);
  const rows: Row[] = [];
  const has = (part: Part) => parts.includes(part);
  const add = async (found: readonly Row[]) => {
    for (const row of found) console.error(`${row.verdict} ${row.kind} ${row.what}: ${row.seen}`);
    rows.push(...found);
    await keep(values.cache, kind.name, kind.title, rows);
  };
  const executable = values.lmproxy;
  if (has("bytes") || has("leaving") || has("faults")) {
    await using first = await Engine.start(kind, folder);
    {
      await using proxy = await startExecutable(executable, ["--node", first.url]);
      await untilHealthy(proxy);
      if (has("bytes")) await add(await compareBytes(first, proxy));
      if (has("leaving")) await add(await leave(first, proxy));
    }
    if (has("faults")) {
      await using second = await Engine.start(kind, folder);
      for (const fault of kind.faults)
        await add([await tryFaults(fault, first, second, executable)]);
    }
  }
  if (has("keys")) await add(await tryKeys(kind, folder, executable));
  if (has("sleep") && kind.name === "llama") await add(await trySleep(kind, folder, executable));
  if (has("adapters") && kind.name === "vllm")
    await add(await tryAdapters(kind, folder, executable));
  if (has("distserve") && kind.name === "lmdeploy")
    await add(await tryDistServe(kind, folder, executable));
  return rows;
}

killAllAtExit();
const names = values.kinds.split(",");
const parts = values.parts.split(",");
const unknown = [
  ...names.filter((name) => !KINDS.some((kind) => kind.name === name)),
  ...parts.filter((part) => !PARTS.some((each) => each === part)),
];
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(", ")}`);
  process.exit(2);
}
const rows: Row[] = [];
for (const kind of KINDS.filter(({ name }) => names.includes(name))) {
  try {
    rows.push(...(await runKind(kind, parts)));
  } catch (error) {
    rows.push({
      part: "bytes",
      kind: kind.name,
      what: "the run",
      verdict: "bad",
      seen: String(error),
    });
  }
}
const table = markdown(rows);
console.log(table);
if (values.write)
  await writeTable(
    values.cache,
    KINDS.map(({ name }) => name),
  );
process.exit(rows.some(({ verdict }) => verdict === "bad") ? 1 : 0);
