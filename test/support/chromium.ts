/** A headless Chromium that may reach 127.0.0.1 and nothing else, driven through its DevTools protocol. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { at, DevTools, type Params } from "./devtools.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  "--remote-debugging-port=0",
  "--window-size=1280,960",
];

/** The browser that `$CHROME` names, else one from PATH, else null. */
export function findChromium(): string | null {
  for (const name of [process.env.CHROME ?? "", ...NAMES]) {
    const path = name === "" ? null : Bun.which(name);
    if (path !== null) return path;
  }
  return null;
}

export interface Browser extends AsyncDisposable {
  open(url: string): Promise<Page>;
}

export interface Page {
  /** URLs of all requests so far. */
  readonly requests: readonly string[];
  /** Errors and warnings on the console, exceptions, violations of the security policy. */
  readonly complaints: readonly string[];
  /** The value of a JavaScript expression, awaited. */
  evaluate(expression: string): Promise<unknown>;
  /** Types into what has the focus. */
  type(text: string): Promise<void>;
  /** The visible part as PNG. */
  screenshot(): Promise<Buffer>;
  /** A command of the DevTools protocol to this page. */
  send(method: string, params?: Params): Promise<Params>;
}

export async function startChromium(path: string): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), "lmproxy-chromium-"));
  const child = Bun.spawn({
    cmd: [path, ...FLAGS, `--user-data-dir=${profile}`, "about:blank"],
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const devTools = await DevTools.connect(await debuggerUrl(child.stderr));
  return {
    open: (url) => openPage(devTools, url),
    async [Symbol.asyncDispose]() {
      await devTools.send("Browser.close").catch(() => child.kill("SIGKILL"));
      await child.exited;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Reads what Chromium says until it tells where to connect; goes on reading, or its pipe would fill. */
async function debuggerUrl(stderr: ReadableStream<Uint8Array>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const read = async () => {
    const decoder = new TextDecoder();
    let said = "";
    for await (const piece of stderr) {
      said = (said + decoder.decode(piece, { stream: true })).slice(-10_000);
      const url = /DevTools listening on (ws:\S+)\s/.exec(said)?.[1];
      if (url !== undefined) resolve(url);
    }
    reject(new Error(`Chromium ended:\n${said}`));
  };
  read().catch(reject);
  return await promise;
}

async function openPage(devTools: DevTools, url: string): Promise<Page> {
  const requests: string[] = [];
  const complaints: string[] = [];
  const tab = await devTools.openTab((method, params) => {
    if (method === "Network.requestWillBeSent") requests.push(String(at(params, "request", "url")));
    if (isComplaint(method, params)) complaints.push(`${method} ${JSON.stringify(params)}`);
  });
  for (const domain of ["Runtime", "Log", "Network", "Audits", "Page"]) {
    await tab.send(`${domain}.enable`);
  }
  await tab.send("Page.navigate", { url });
  return {
    requests,
    complaints,
    send: (method, params) => tab.send(method, params),
    async evaluate(expression) {
      const options = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await tab.send("Runtime.evaluate", options);
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
      return at(result, "value");
    },
    async type(text) {
      await tab.send("Input.insertText", { text });
    },
    async screenshot() {
      const { data } = await tab.send("Page.captureScreenshot", { format: "png" });
      return Buffer.from(String(data), "base64");
    },
  };
}

function isComplaint(method: string, params: Params): boolean {
  switch (method) {
    case "Runtime.consoleAPICalled":
      return ["error", "warning", "assert"].includes(String(at(params, "type")));
    case "Log.entryAdded":
      return ["error", "warning"].includes(String(at(params, "entry", "level")));
    case "Audits.issueAdded":
      return at(params, "issue", "code") === "ContentSecurityPolicyIssue";
    case "Runtime.exceptionThrown":
    case "Network.loadingFailed":
      return true;
    default:
      return false;
  }
}
