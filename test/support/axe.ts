import { join } from "node:path";
import type { Page } from "./chromium.ts";

const AXE = await Bun.file(join(import.meta.dir, "../../node_modules/axe-core/axe.min.js")).text();

/** What axe-core finds that shuts people out who cannot see a page, or have no mouse. */
export function criticalFaults(page: Page): Promise<unknown> {
  // What it says of contrast is never critical, and takes most of the time.
  return faults(page, ["critical"], `{ "color-contrast": { enabled: false } }`);
}

/** That, and what makes it hard for them, such as too little contrast. */
export function seriousFaults(page: Page): Promise<unknown> {
  return faults(page, ["critical", "serious"], "{}");
}

async function faults(page: Page, impacts: readonly string[], rules: string): Promise<unknown> {
  await page.evaluate(`if (window.axe === undefined) { ${AXE} }`);
  return await page.evaluate(`axe.run(document, { resultTypes: ["violations"], rules: ${rules} }).then(
    ({ violations }) => violations
      .filter(({ impact }) => ${JSON.stringify(impacts)}.includes(impact))
      .flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html.slice(0, 200))))`);
}
