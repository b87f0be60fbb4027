/** What Bun's server knows of a request's connection. */
export interface BunServer {
  /** Null when it has gone. */
  requestIP(request: Request): { readonly address: string } | null;
  /** Closes it when it stands still for so long, s; never, for 0. */
  timeout(request: Request, seconds: number): void;
}
