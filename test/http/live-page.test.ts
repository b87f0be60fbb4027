/** The live page in a browser that reaches nothing but the proxy: what an operator sees and does there. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { seriousFaults } from "../support/axe.ts";
import { type Browser, findChromium, type Page, startChromium } from "../support/chromium.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const KEY = "the-admin-key";
const API_KEY = "a-client-key";
/** Whoever runs an engine names its models. */
const HOSTILE = `"><img src=x onerror="window.hacked=1"><b>m</b>`;

const chromium = findChromium();
if (chromium === null) {
  console.warn("skipped: the live page in a browser. Install chromium, or name one in $CHROME.");
}

describe.skipIf(chromium === null).each([
  ["one process", []],
  ["two workers", ["--workers", "2"]],
])("the live page of %s", (_, processes) => {
  let browser: Browser;
  let engines: RunningEngine[];
  let proxy: ProxyProcess;
  let page: Page;

  beforeAll(async () => {
    const start = () => startEngine({ models: ["tiny", HOSTILE], timeScale: 1 });
    [browser, ...engines] = await Promise.all([
      startChromium(chromium ?? ""),
      start(),
      start(),
      start(),
    ]);
    const nodes = engines.flatMap(({ url }) => ["--node", url]);
    const keys = ["--admin-key", KEY, "--api-keys", API_KEY];
    const flags = [...processes, "--metrics-interval", "1", "--health-interval", "1", "--no-retry"];
    proxy = await startProxy([...nodes, ...keys, ...flags]);
    await untilHealthy(proxy, 3, KEY);
    page = await browser.open(`${proxy.url}/`);
  });

  afterAll(async () => {
    await browser[Symbol.asyncDispose]();
    await proxy.end("SIGKILL");
    await Promise.all(engines.map((engine) => engine.stop(true)));
  });

  /** What a person reads. */
  const text = async (selector = "body") =>
    String(
      await page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`),
    );
  const shows = (words: string | RegExp, selector?: string) =>
    until(`it shows ${words}`, async () => {
      const shown = await text(selector);
      return typeof words === "string" ? shown.includes(words) : words.test(shown);
    });
  /** Clicks what is called so, within what `selector` finds. */
  const click = (name: string, selector = "body") =>
    until(`${name} can be clicked`, () =>
      page.evaluate(`(() => {
        const within = document.querySelector(${JSON.stringify(selector)});
        const button = [...within?.querySelectorAll("button") ?? []].find((one) =>
          !one.disabled && (one.getAttribute("aria-label") ?? one.innerText).includes(${JSON.stringify(name)}));
        button?.click();
        return button !== undefined;
      })()`),
    );
  const typeInto = async (selector: string, words: string) => {
    await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).focus()`);
    await page.type(words);
  };
  const name = (engine: RunningEngine | undefined) => engine?.url.replace("http://", "") ?? "";
  const [NODES, REQUESTS, FAILURES, TRY] = ["nodes", "requests", "failures", "playground"].map(
    (part) => `[aria-labelledby=${part}-title]`,
  );

  function ask(id: string): Promise<Response> {
    return fetch(`${proxy.url}/v1/chat/completions`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${API_KEY}`,
        "x-request-id": id,
      },
      body: JSON.stringify({ model: "tiny", messages: [{ role: "user", content: "Hi" }] }),
    });
  }

  test("shows a stranger nothing but a question for the key, and says when that is wrong", async () => {
    await shows("Admin key");
    expect(await text()).not.toContain(name(engines[0]));
    expect(await seriousFaults(page)).toEqual([]);
    await typeInto("input[type=password]", "wrong");
    await click("Go on");
    await shows("Incorrect admin key");
    expect(await text()).not.toContain("tiny");
  });

  test("keeps the key out of URLs and of what outlives the tab, and knows it after a reload", async () => {
    await page.evaluate(`document.querySelector("input").select()`);
    await page.type(KEY);
    await click("Go on");
    await shows(name(engines[0]), NODES);
    await page.send("Page.reload");
    await shows(name(engines[2]), NODES);
    expect(page.requests.join()).not.toContain(KEY);
    expect(await page.evaluate("JSON.stringify(localStorage) + document.cookie")).toBe("{}");
    const other = await browser.open(`${proxy.url}/`);
    await until("another tab asks again", () =>
      other.evaluate(`document.body?.innerText.includes("Admin key")`),
    );
    // In front of the first one, which draws nothing while nobody sees it.
    await other.send("Page.close");
  });

  test("takes what engines say for text, and nothing from elsewhere", async () => {
    await shows(HOSTILE, "[aria-labelledby=models-title]");
    await click(name(engines[0]), NODES);
    await shows(HOSTILE, ".node-details");
    expect(
      await page.evaluate("window.hacked === undefined && document.querySelector('img') === null"),
    ).toBe(true);
    for (const url of page.requests) expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\//);
    expect(await seriousFaults(page)).toEqual([]);
    await click(name(engines[0]), NODES);
  });

  test("streams an answer to who tries a model, by a key of its own", async () => {
    await typeInto(`${TRY} textarea`, "How are you?");
    await click("Send", TRY);
    await shows("Inference needs a key", TRY);
    await typeInto(`${TRY} input[type=password]`, API_KEY);
    // None ends before a part of it was looked at.
    for (const engine of engines) engine.setPace(0.1);
    await click("Go on", TRY);
    await until("a part of the answer is there before the rest", () =>
      page.evaluate(`(() => {
        const answer = document.querySelector(".answer");
        return answer?.ariaBusy === "true" && answer.innerText.length > 0;
      })()`),
    );
    for (const engine of engines) engine.setPace(1);
    await shows("in all", TRY);
    await click("Why this node?", TRY);
    await shows("min_expected_latency of 3", "dialog");
    expect(await seriousFaults(page)).toEqual([]);
    await click("Close", "dialog");
  });

  test("shows a request that hangs and why it is there, and cancels it once asked", async () => {
    for (const engine of engines) engine.setPace(0);
    const answer = ask("hung-one");
    await shows(/sent\b.*tiny.*\n?.*hung-one/, REQUESTS);
    await click("Why? hung-one", REQUESTS);
    await shows("min_expected_latency of 3", "dialog");
    await click("Close", "dialog");
    await click("Cancel… hung-one", REQUESTS);
    await shows("Cancel this request?", "dialog");
    expect(await seriousFaults(page)).toEqual([]);
    await click("Leave it", "dialog");
    await shows("hung-one", REQUESTS);
    await click("Cancel… hung-one", REQUESTS);
    await click("Cancel it", "dialog");
    expect((await answer).status).toBe(503);
    await shows("Nothing runs", REQUESTS);
    // That was nobody's fault.
    expect(await text(FAILURES)).not.toContain("hung-one");
    for (const engine of engines) engine.setPace(1);
  });

  test("keeps what failed, with the reason", async () => {
    for (const engine of engines) {
      engine.setFaults([{ fault: { kind: "answer", status: 500, body: "out of memory" } }]);
    }
    expect((await ask("failed-one")).status).toBe(500);
    for (const engine of engines) engine.setFaults([]);
    await shows(/500[\s\S]*failed-one/, FAILURES);
    await click("Why? failed-one", FAILURES);
    await shows("500", "dialog");
    await click("Close", "dialog");
  });

  test("drains a node and takes it back", async () => {
    const [, , drained] = engines;
    await click(name(drained), NODES);
    await click("Drain", ".node-details");
    await shows(/draining/, NODES);
    await click("Undrain", ".node-details");
    await until("it is healthy again", async () => !/draining|starting/.test(await text(NODES)));
    await click(name(drained), NODES);
  });

  test("turns a node that is killed, with its reason and before all others, and says so", async () => {
    const [, killed] = engines;
    await killed?.stop(true);
    await shows(/no connection[\s\S]*unhealthy/, NODES);
    expect(await text("tbody tr")).toContain(name(killed));
    expect(await text("tbody tr")).toContain("ECONNREFUSED");
    const colour = "getComputedStyle(document.querySelector('tbody tr .state')).color";
    expect(await page.evaluate(colour)).toBe("rgb(179, 38, 30)");
    expect(await text(".hidden[role=log]")).toContain(`${name(killed)} is unhealthy`);
    expect(await text(".tiles")).toMatch(/2\s*of 3/);
  });

  test("adds a node, and removes one once asked", async () => {
    const added = await startEngine({ models: ["tiny"], timeScale: 0 });
    engines.push(added);
    await typeInto("input[type=url]", added.url);
    await click("Add", "[aria-labelledby=add-title]");
    await shows(/3\s*of 4/, ".tiles");
    await click(name(added), NODES);
    await click("Remove", ".node-details");
    await shows("Remove this node?", "dialog");
    await click("Remove it", "dialog");
    await shows(/2\s*of 3/, ".tiles");
  });

  test("works by keyboard alone, and fits a phone in the dark", async () => {
    await page.evaluate("document.activeElement?.blur()");
    for (let presses = 0; presses < 40; presses += 1) {
      await page.send("Input.dispatchKeyEvent", {
        type: "rawKeyDown",
        key: "Tab",
        windowsVirtualKeyCode: 9,
      });
      await page.send("Input.dispatchKeyEvent", {
        type: "keyUp",
        key: "Tab",
        windowsVirtualKeyCode: 9,
      });
      if (await page.evaluate(`document.activeElement?.getAttribute("aria-expanded") === "false"`))
        break;
    }
    const enter = { key: "Enter", text: "\r", windowsVirtualKeyCode: 13 };
    await page.send("Input.dispatchKeyEvent", { type: "keyDown", ...enter });
    await page.send("Input.dispatchKeyEvent", { type: "keyUp", ...enter });
    await shows("Serves", ".node-details");
    const phone = { width: 390, height: 844, deviceScaleFactor: 1, mobile: true };
    await page.send("Emulation.setDeviceMetricsOverride", phone);
    const features = [{ name: "prefers-color-scheme", value: "dark" }];
    await page.send("Emulation.setEmulatedMedia", { features });
    expect(await page.evaluate("document.documentElement.scrollWidth <= 390")).toBe(true);
    // Of figures that there is no room for, those that say what is wrong.
    for (const wrong of ["bad", "warn"]) {
      const isShown = `document.querySelector(".nodes tbody .c-oldest").checkVisibility()`;
      const mark = `document.querySelector(".nodes tbody .c-oldest .value").classList.toggle("${wrong}")`;
      expect([await page.evaluate(isShown), await page.evaluate(mark)]).toEqual([false, true]);
      expect([await page.evaluate(isShown), await page.evaluate(mark)]).toEqual([true, false]);
    }
    expect(await page.evaluate("getComputedStyle(document.body).backgroundColor")).toBe(
      "rgb(20, 23, 26)",
    );
    expect(await seriousFaults(page)).toEqual([]);
  });

  test("says when the proxy has gone", async () => {
    const complaints = page.complaints.filter((one) => !/40[13]|50[03]|ERR_ABORTED/.test(one));
    expect(complaints).toEqual([]);
    // Text could not become markup there if somebody tried: the browser refuses.
    const markup = `try { document.body.innerHTML = "<b>"; "it did" } catch (error) { error.name }`;
    expect(await page.evaluate(markup)).toBe("TypeError");
    await proxy.end("SIGKILL");
    await shows("Not connected");
  });
});
