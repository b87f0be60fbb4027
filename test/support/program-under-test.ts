/**
 * What tests start: the executable that `PROGRAM_UNDER_TEST` names, as scripts/test has it, which is what users run and
 * comes up in a quarter of the time; else the sources as they are.
 */
import { join } from "node:path";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const executable = process.env.PROGRAM_UNDER_TEST;

export const PROGRAM: readonly string[] =
  executable === undefined ? [process.execPath, MAIN] : [executable];
