import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openApiDocument } from "../../src/http/docs.ts";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { seriousFaults } from "../support/axe.ts";
import { type Browser, findChromium, type Page, startChromium } from "../support/chromium.ts";
import { OpenApiReader } from "../support/openapi.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

const KEY = "a-client-key";
/** None that the document knows. */
const MODEL = 'served"here';
const reader = new OpenApiReader(await openApiDocument());
const chromium = findChromium();
if (chromium === null) {
  console.warn("skipped: /docs in a browser. Install chromium, or name one in $CHROME.");
}

let engine: RunningEngine;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = await startEngine({ models: [MODEL], timeScale: 0 });
  proxy = await startProxy(["--node", engine.url, "--api-keys", KEY]);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop(true);
});

describe("without a browser", () => {
  test("the page has no script or style of its own, and names no other host", async () => {
    const html = await (await fetch(`${proxy.url}/docs`)).text();
    expect(html).not.toMatch(/<style|style=|\son\w+=|<script(?![^>]*\ssrc=)/);
    expect(html).not.toMatch(/\/\/[a-z]/i);
  });

  test("what the page names is served, typed, unsniffed and kept", async () => {
    const html = await (await fetch(`${proxy.url}/docs`)).text();
    const paths = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = ""]) => path);
    expect(paths.length).toBeGreaterThan(4);
    for (const path of ["/docs", ...paths]) {
      const answer = await fetch(proxy.url + path);
      expect([path, answer.status]).toEqual([path, 200]);
      const { headers } = answer;
      expect(headers.get("content-type")).toMatch(contentTypeOf(path));
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-security-policy")).toStartWith("default-src 'none'; ");
      expect(headers.get("content-security-policy")).not.toContain("unsafe");
      const known = { "if-none-match": headers.get("etag") ?? "" };
      const again = await fetch(proxy.url + path, { headers: known });
      expect([path, again.status, (await again.bytes()).length]).toEqual([path, 304, 0]);
    }
  });

  test("what is not part of the page is not there", async () => {
    for (const file of ["nothing.js", "..%2fassets.ts", "__proto__"]) {
      const answer = await fetch(`${proxy.url}/docs/${file}`);
      expect(answer.status).toBe(404);
      expect(await answer.json()).toMatchObject({ error: { code: "not_found" } });
    }
  });
});

function contentTypeOf(path: string): RegExp {
  if (path.endsWith(".js")) return /^text\/javascript/;
  if (path.endsWith(".css")) return /^text\/css/;
  if (path.endsWith(".svg")) return /^image\/svg\+xml/;
  return path.endsWith(".json") ? /^application\/json/ : /^text\/html/;
}

describe.skipIf(chromium === null)("in a browser that reaches nothing but the proxy", () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await startChromium(chromium ?? "");
  }, 60_000);

  afterAll(async () => {
    await browser[Symbol.asyncDispose]();
  });

  /** Opens /docs and waits until the operations are drawn. */
  async function openDocs(fragment: string): Promise<Page> {
    const page = await browser.open(`${proxy.url}/docs${fragment}`);
    await until("the page shows operations", () =>
      page.evaluate("document.querySelectorAll('.opblock').length > 0"),
    );
    return page;
  }

  test("it shows every operation, with nothing from elsewhere and no complaint", async () => {
    const page = await openDocs("");
    const shown = await page.evaluate(
      `[...document.querySelectorAll(".opblock-summary")].map((row) =>
        row.querySelector(".opblock-summary-method").innerText + " " +
        row.querySelector(".opblock-summary-path").dataset.path)`,
    );
    const described = reader.operations().map(({ method, path }) => `${method} ${path}`);
    expect(described).toContain("POST /v1/chat/completions");
    if (!Array.isArray(shown)) throw new Error("no list");
    expect(shown.sort()).toEqual(described.sort());
    expect(await page.evaluate("document.title")).toBe("lmproxy");
    expect(page.requests).toContain(`${proxy.url}/openapi.json`);
    for (const url of page.requests) expect(url).toMatch(/^(http:\/\/127\.0\.0\.1:\d+\/|data:)/);
    expect(page.complaints).toEqual([]);
  }, 60_000);

  test("with a key, an example can be tried out", async () => {
    const page = await openDocs("#/Chat/createChatCompletion");
    const act = (selector: string, action: "click" | "focus") =>
      until(`${selector} is there`, () =>
        page.evaluate(
          `(found => found !== null && (found.${action}(), true))(document.querySelector("${selector}"))`,
        ),
      );
    await act(".btn.authorize", "click");
    await act("#auth-bearer-value", "focus");
    await page.type(KEY);
    await act(".auth-container .authorize", "click");
    await act(".auth-container .btn-done", "click");
    await until("the example names a model that is served", () =>
      page.evaluate(
        `document.querySelector(".body-param__text")?.value.includes('served\\\\"here')`,
      ),
    );
    await act(".btn.execute", "click");
    const answer = await until("an answer is shown", () =>
      page.evaluate(`document.querySelector(".live-responses-table .response")?.innerText`),
    );
    expect(answer).toMatch(/^200\b/);
    expect(answer).toContain('"object": "chat.completion"');
    expect(page.complaints).toEqual([]);
  }, 60_000);

  test("a call that ends engines asks first, and is not sent without a yes", async () => {
    const page = await openDocs("#/Nodes/terminateAllNodes");
    await page.evaluate("window.asked = []; window.confirm = (text) => (asked.push(text), false)");
    await until("it can be sent", () =>
      page.evaluate(
        `(found => found !== null && (found.click(), true))(document.querySelector(".btn.execute"))`,
      ),
    );
    await until("it has asked", () => page.evaluate("asked.length === 1"));
    expect(await page.evaluate("asked[0]")).toContain("/nodes/terminate_all ends engines");
    const sent = `performance.getEntriesByType("resource").map(({ name }) => name).join()`;
    expect(await page.evaluate(sent)).not.toContain("terminate");
  }, 60_000);

  test.each(["light", "dark"])(
    "it is readable and can be told by a screen reader, drawn %s",
    async (scheme) => {
      const page = await openDocs("#/Chat/createChatCompletion");
      await until("the operation is open", () =>
        page.evaluate(`document.querySelector(".btn.execute") !== null`),
      );
      const isDark = scheme === "dark";
      await page.evaluate(`document.documentElement.classList.toggle("dark-mode", ${isDark})`);
      await page.evaluate(`document.querySelector(".btn.execute").click()`);
      await until("an answer is shown", () =>
        page.evaluate(`document.querySelector(".live-responses-table .response") !== null`),
      );
      // A button halfway from one colour to another has neither's contrast.
      await until("colours stand still", () =>
        page.evaluate(`document.getAnimations().every((one) => !(one instanceof CSSTransition))`),
      );
      expect(await seriousFaults(page)).toEqual([]);
    },
    60_000,
  );

  test("it would complain about styles, scripts and hosts that the policy forbids", async () => {
    const page = await openDocs("");
    await page.evaluate(`document.body.insertAdjacentHTML("beforeend", "<p style='color:red'>")`);
    await page.evaluate(`document.body.append(Object.assign(document.createElement("script"),
      { text: "window.hacked = true" }))`);
    await page.evaluate(`fetch("http://127.0.0.2/").catch(() => {})`);
    expect(await page.evaluate("window.hacked === undefined")).toBe(true);
    for (const directive of ["style-src", "script-src", "connect-src"]) {
      await until(`a complaint names ${directive}`, () =>
        page.complaints.some((complaint) => complaint.includes(directive)),
      );
    }
  }, 60_000);
});
