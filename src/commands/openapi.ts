/** `lmproxy openapi`: the document that a running proxy serves at /openapi.json. */
import { Command } from "commander";
import { readCommandLine } from "../config/command-line.ts";
import type { Run } from "./command.ts";

export const run: Run = async (argv, { print }) => {
  const command = new Command("lmproxy openapi").description("Print the OpenAPI document as JSON.");
  const line = readCommandLine(command, [], argv);
  if (line.help !== null) {
    await print(line.help);
    return 0;
  }
  const { openApiDocument } = await import("../http/docs.ts");
  await print(`${JSON.stringify(await openApiDocument(), null, 2)}\n`);
  return 0;
};
