/**
 * A process that has a state file open, for tests that end it from outside. Prints a line an event.
 *   hold PATH            opens, saves, prints "held", and stays
 *   churn PATH           saves one state after the other, and prints the number of each once saved
 *   save PATH COUNT…     saves states of so many nodes
 */
import { openStateFile, StateFileError } from "../../src/state/file.ts";
import { churnedEntries, entry } from "./entries.ts";

/** Ends with its last line. */
function after(ms: number, act: () => void): () => void {
  const timer = setTimeout(act, ms);
  timer.unref();
  return () => clearTimeout(timer);
}

const print = (line: string) => process.stdout.write(`${line}\n`);

function open(path: string) {
  try {
    return openStateFile(path, { after, warn: (message) => print(`warning: ${message}`) });
  } catch (error) {
    if (!(error instanceof StateFileError)) throw error;
    print(`refused: ${error.message}`);
    process.exit(3);
  }
}

const [mode, path = "", ...counts] = process.argv.slice(2);
const file = open(path);
if (mode === "hold") {
  try {
    openStateFile(path, { after, warn: () => {} });
  } catch (error) {
    // Asking a second time from inside must not cost us the lock that we have.
    print(error instanceof StateFileError ? "refused inside" : `${error}`);
  }
  file.save(() => [entry(1)]);
  await file.flush();
  Bun.gc(true);
  print("held");
  setInterval(() => file.flush(), 60_000);
} else if (mode === "churn") {
  for (let step = 1; ; step += 1) {
    file.save(() => churnedEntries(step));
    await file.flush();
    print(`${step}`);
  }
} else {
  for (const count of counts) {
    file.save(() => Array.from({ length: Number(count) }, (_, index) => entry(index + 1)));
    await file.flush();
    print(`asked for ${count}`);
  }
}
