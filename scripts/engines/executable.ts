/** lmproxy as it is shipped, in front of the engines. */
import { type ProxyProcess, startProxy } from "../../test/support/proxy.ts";

/** As `startProxy`, of the executable at `path`; it ends with this process, however that ends. */
export async function startExecutable(
  path: string,
  flags: readonly string[],
): Promise<ProxyProcess> {
  const proxy = await startProxy(flags, { command: [path] });
  process.on("exit", () => proxy.process.kill("SIGKILL"));
  return proxy;
}
