/** How an engine makes itself known to a proxy, as LMDeploy's api_server does from its start-up hook. */
import { ROLE_NUMBERS, type Role } from "../../core/engine/roles.ts";

export interface Registration {
  readonly url: string;
  readonly models: readonly string[];
  readonly role: Role;
  /** Left out of the body when `undefined`. */
  readonly speed: number | null | undefined;
}

/**
 * POST {proxy}/nodes/add and waits for the answer. Anything but 200 is logged and not tried again;
 * nothing is thrown.
 */
export async function register(
  proxyUrl: string,
  node: Registration,
  log: (line: string) => void,
): Promise<void> {
  const status = {
    models: node.models,
    role: ROLE_NUMBERS[node.role],
    ...(node.speed === undefined ? {} : { speed: node.speed }),
  };
  const target = `${proxyUrl.replace(/\/+$/, "")}/nodes/add`;
  try {
    const response = await fetch(target, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url: node.url, status }),
    });
    const text = await response.text();
    if (response.status === 200) log(`registered with ${proxyUrl}`);
    else log(`could not register with ${proxyUrl}: ${response.status} ${text.slice(0, 200)}`);
  } catch (error) {
    log(`could not register with ${proxyUrl}: ${String(error)}`);
  }
}
