/** Run by itself, on a core of its own: a load a line on stdin, what was measured a line on stdout. */
import { runLoad } from "./generator.ts";
import type { Load } from "./load.ts";

/** Written by the runner, on the other end of the pipe, from the same type. */
function parseLoad(line: string): Load {
  return JSON.parse(line);
}

if (import.meta.main) {
  for await (const line of console) {
    console.log(JSON.stringify(await runLoad(parseLoad(line))));
  }
}
