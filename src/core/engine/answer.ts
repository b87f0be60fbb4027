/** An engine's answer to one of the proxy's own questions. */
export interface Answer {
  /** HTTP status. */
  readonly status: number;
  readonly body: string;
}
