/** What an engine that answers 401 or 403 wants. @param headers What it was asked with. */
export function wantsKey(headers: Readonly<Record<string, string>>): string {
  return "authorization" in headers
    ? "the engine wants another key than --upstream-api-key"
    : "the engine wants a key; start the proxy with --upstream-api-key";
}
