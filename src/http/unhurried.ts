import type { Services } from "./services.ts";

/** Does what may take its time before there is an answer: Bun would close a connection that stands still meanwhile. */
export async function unhurried<T>(
  request: Request,
  { server, keepAliveS }: Pick<Services, "server" | "keepAliveS">,
  act: () => Promise<T>,
): Promise<T> {
  server().timeout(request, 0);
  try {
    return await act();
  } finally {
    server().timeout(request, keepAliveS);
  }
}
