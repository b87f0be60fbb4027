/** Why a server could not listen, in one line. */
import { CommandError } from "./command.ts";

export interface ListenAttempt {
  /** What would have listened: "proxy". */
  readonly what: string;
  /** The flag that chooses another port. */
  readonly flag: string;
  readonly host: string;
  readonly port: number;
}

/** `error` as a CommandError if the system refused the address or TLS its files, else `error` itself. */
export function listenError(error: unknown, { what, flag, host, port }: ListenAttempt): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "EADDRINUSE":
      return new CommandError(`port ${port} (${what}) is in use; choose another with ${flag}`);
    case "EACCES":
      return new CommandError(
        `port ${port} (${what}) may not be opened without more rights; choose another with ${flag}`,
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new CommandError(`${host} is no address of this machine; choose another with --host`);
  }
  if (typeof code === "string" && code.startsWith("ERR_OSSL")) {
    const reason = code.slice("ERR_OSSL_".length).toLowerCase().replaceAll("_", " ");
    return new CommandError(
      `the files of --tls-key and --tls-cert make no key with its certificate (${reason})`,
    );
  }
  return error;
}
