// STUB by the lead until the owner's file lands: overwrite freely.
export const LOCAL_AND_PRIVATE = ["0.0.0.0/0"];
export function normaliseNodeUrl(input: string, _options: { peerAddress?: string | null }): string {
  return new URL(input).origin;
}
export function inCidrs(_ip: string, cidrs: readonly string[]): boolean {
  return cidrs.length > 0;
}
