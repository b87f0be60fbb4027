import { expect, test } from "bun:test";
import { flagsTable } from "../../scripts/flags-table.ts";
import { SERVE_FLAGS } from "../../src/config/serve-flags.ts";

test("each flag has a row of four cells, with its variables and its default", () => {
  const [head, rule, ...rows] = flagsTable().trimEnd().split("\n");
  expect(head).toBe("| Flag | Variable | Default | Meaning |");
  expect(rule).toBe("| --- | --- | --- | --- |");
  expect(rows).toHaveLength(SERVE_FLAGS.length);
  for (const row of rows) expect(row.split(/(?<!\\)\|/)).toHaveLength(6);
  expect(rows).toContain(
    "| `--port NUMBER`<br>`--server-port NUMBER` | `LMPROXY_PORT` | `8000` | Port to listen on; 0 picks a free one and prints it. |",
  );
  expect(rows).toContain(
    "| `--timeout SECONDS` | `LMPROXY_TIMEOUT`<br>`AIOHTTP_TIMEOUT` |  | Time that a whole request may take. Default: no limit. |",
  );
});
