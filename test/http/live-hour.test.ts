/** The live page with 256 nodes, and for an hour that takes seconds: what it shows, and that it does not grow. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { parseServeConfig } from "../../src/config/serve-config.ts";
import { createApp } from "../../src/http/app.ts";
import { ROUTES } from "../../src/http/routes/index.ts";
import { RouteTable } from "../../src/http/routes/table.ts";
import { LOST } from "../../src/lab/cluster.ts";
import { Log } from "../../src/observe/log.ts";
import { assemble } from "../../src/proxy/assemble.ts";
import { type Browser, findChromium, type Page, startChromium } from "../support/chromium.ts";
import { liveCluster, type Running } from "../support/live-cluster.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(120_000);

const NODES = 256;
/** So many stay for the hour: with all of them it takes four times as long, and shows no more. */
const STAY = 64;
const chromium = findChromium();

describe.skipIf(chromium === null)("with 256 nodes", () => {
  const all = liveCluster(NODES);
  const { time, random, registry } = all.cluster;
  const running: Running[] = [];
  let server: Bun.Server<undefined>;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    server = serve();
    browser = await startChromium(chromium ?? "");
    page = await browser.open(server.url.origin);
  });

  afterAll(async () => {
    await browser[Symbol.asyncDispose]();
    await server.stop(true);
  });

  /** A proxy's routes, with what happens in virtual time in place of what happens. */
  function serve(): Bun.Server<undefined> {
    const parsed = parseServeConfig(["--port", "0"], {}, () => "");
    if (parsed.help !== null) throw new Error("no configuration");
    const log = new Log({ level: "info", format: "json", sink: { write() {}, lost: 0 } });
    const { services } = assemble(parsed.config, log, {
      port: () => server.port ?? 0,
      pendingRequests: () => server.pendingRequests,
      server: () => server,
      stateLocked: () => null,
      stateProblem: () => null,
    });
    const app = createApp(ROUTES, new RouteTable(ROUTES), { ...services, live: all.live });
    return Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => app.fetch(request) });
  }

  /** A second of traffic, in which nodes leave, join, fail and come back. */
  function second(): void {
    for (let at = 0; at < 4; at += 1) running.push(all.send());
    const out = registry.nodes().find(({ health }) => health.state === "unhealthy");
    if (out !== undefined && random() < 0.5) all.cluster.pass(out);
    if (random() < 0.2) all.cluster.refuse(all.cluster.node(`n${Math.floor(random() * STAY)}`));
    const leaves = `n${Math.floor(random() * STAY)}`;
    registry.membership.remove(`http://${leaves}`);
    all.cluster.join(leaves);
    time.advance(1_000);
    while (running.length > 40) {
      const [one] = running.splice(Math.floor(random() * running.length), 1);
      if (random() > 0.05) one?.end();
      else {
        one?.lease.end(LOST);
        one?.exchange.head(502);
        one?.exchange.end({ how: "refused", error: "upstream_error" });
      }
    }
  }

  async function minutes(count: number): Promise<void> {
    for (let at = 1; at <= 60 * count; at += 1) {
      second();
      if (at % 120 !== 0 && at < 60 * count) continue;
      // Also a browser that is slower than this gets it all.
      const upS = Math.floor(time.nowMs / 1_000);
      const says = upS < 120 ? `up ${upS} s` : `up ${Math.round(upS / 60)} min`;
      await until(`the page says ${says}`, () =>
        page.evaluate(`document.querySelector(".about")?.innerText.includes("${says}")`),
      );
    }
  }

  /** Of the nodes that are shown, from the first to the last. */
  async function states(): Promise<string[]> {
    const found = await page.evaluate(
      `[...document.querySelectorAll("tr.node .state")].map((one) => one.innerText).join()`,
    );
    return String(found).split(",");
  }

  /** What the page takes: the least of some looks, since garbage goes when it pleases. */
  async function size() {
    let least = { heap: Infinity, nodes: Infinity, listeners: Infinity };
    for (let look = 0; look < 3; look += 1) {
      await page.evaluate("new Promise(requestAnimationFrame)");
      await page.send("HeapProfiler.collectGarbage");
      const { usedSize } = await page.send("Runtime.getHeapUsage");
      const { nodes, jsEventListeners } = await page.send("Memory.getDOMCounters");
      least = {
        heap: Math.min(least.heap, Number(usedSize)),
        nodes: Math.min(least.nodes, Number(nodes)),
        listeners: Math.min(least.listeners, Number(jsEventListeners)),
      };
    }
    return least;
  }

  test("it shows the worst of them first, and all when asked to", async () => {
    all.cluster.refuse(all.cluster.node("n200"));
    await minutes(1);
    const rows = "document.querySelectorAll('tr.node').length";
    expect(await page.evaluate(rows)).toBe(50);
    const [first, ...others] = await states();
    expect(first).toBe("unhealthy");
    expect(others.lastIndexOf("unhealthy")).toBeLessThan(others.indexOf("healthy"));
    await page.evaluate(`document.querySelector(".more button").click()`);
    await until("all are there", () => page.evaluate(`${rows} === ${NODES}`));
    await page.evaluate(`(() => {
      const input = document.querySelector("input[type=search]");
      input.value = "n25";
      input.dispatchEvent(new Event("input", { bubbles: true }));
    })()`);
    // n25, and n250 to n255.
    await until("seven are found", () => page.evaluate(`${rows} === 7`));
    await page.evaluate(`(() => {
      const input = document.querySelector("input[type=search]");
      input.value = "";
      input.dispatchEvent(new Event("input", { bubbles: true }));
    })()`);
    await until("all are there again", () => page.evaluate(`${rows} === ${NODES}`));
    await page.evaluate(`document.querySelector(".more button").click()`);
  });

  test("an hour of updates leaves neither memory nor elements behind", async () => {
    for (let at = STAY; at < NODES; at += 1) registry.membership.remove(`http://n${at}`);
    // Until the history of all of them is full.
    await minutes(16);
    const before = await size();
    await minutes(44);
    const after = await size();
    expect(registry.nodes()).toHaveLength(STAY);
    // Lists are longer at one time than at another; what stays behind with each of 2,600 updates is more.
    expect(after.nodes).toBeLessThan(before.nodes * 1.25);
    expect(after.listeners).toBeLessThan(before.listeners * 1.25);
    expect(after.heap).toBeLessThan(before.heap * 1.1);
  });
});
