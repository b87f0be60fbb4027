import type { ProxyProcess } from "./proxy.ts";

/** One short completion of the model `tiny` through the proxy, `body` added to the request. */
export function ask(
  proxy: ProxyProcess,
  body: Readonly<Record<string, unknown>> = {},
  init: BunFetchRequestInit = {},
): Promise<Response> {
  return fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    body: JSON.stringify({ model: "tiny", prompt: "x", max_tokens: 2, ...body }),
    ...init,
    headers: { "content-type": "application/json", ...init.headers },
  });
}

/** The statuses of `count` such requests, one after the other. */
export async function askInTurn(proxy: ProxyProcess, count: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const answer = await ask(proxy);
    await answer.bytes();
    statuses.push(answer.status);
  }
  return statuses;
}

/** `count` times `value`. */
export function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}
