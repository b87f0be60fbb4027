/** Why a server could not listen, in one line. */
import { errorCode } from "../core/thrown.ts";
import { tlsRefusal } from "../proxy/tls.ts";
import { CommandError } from "./command-error.ts";

export interface ListenAttempt {
  /** What would have listened: "proxy". */
  readonly what: string;
  /** The flag that chooses another port. */
  readonly flag: string;
  /** The one that chooses another address; left out: `--host`. */
  readonly hostFlag?: string;
  readonly host: string;
  readonly port: number;
}

/** A CommandError if the system refused the address, a UsageError if TLS its files, else `error` itself. */
export function listenError(
  error: unknown,
  { what, flag, hostFlag = "--host", host, port }: ListenAttempt,
): unknown {
  const code = errorCode(error);
  switch (code) {
    case "EADDRINUSE":
      return new CommandError(`port ${port} (${what}) is in use; choose another with ${flag}`);
    case "EACCES":
      return new CommandError(
        `port ${port} (${what}) may not be opened without more rights; choose another with ${flag}`,
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new CommandError(
        `${host} is no address of this machine; choose another with ${hostFlag}`,
      );
  }
  // For a name that nobody knows Bun 1.4.5 tells whatever the last system call failed with.
  if (error instanceof Error && "syscall" in error && error.syscall === "listen") {
    const said = typeof code === "string" ? ` (${code})` : "";
    return new CommandError(
      `cannot listen on ${host}${said}: it may be no name of this machine; choose another with ${hostFlag}`,
    );
  }
  return tlsRefusal(error) ?? error;
}
