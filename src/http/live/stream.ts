import { ProxyError } from "../../core/errors.ts";
import type { Live } from "../../observe/live.ts";

/** A reader that has not taken so much is sent away, bytes; it may come again and gets all anew. */
const MOST_UNREAD = 1024 * 1024;

/** What the page is told, for as long as its reader stays. @throws ProxyError service_unavailable */
export function liveStream(live: Pick<Live, "hasRoom" | "watch">): Response {
  if (!live.hasRoom) {
    throw new ProxyError(
      "service_unavailable",
      "As many look at the live page as may, or the proxy is about to end; close one of those pages.",
      { retryAfterS: 5 },
    );
  }
  const encoder = new TextEncoder();
  let leave = () => {};
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const end = () => {
          leave();
          controller.close();
        };
        leave = live.watch({
          tell(line) {
            const isStuck = (controller.desiredSize ?? 0) <= 0;
            if (isStuck) end();
            else controller.enqueue(encoder.encode(line));
          },
          end,
        });
      },
      cancel: () => leave(),
    },
    new ByteLengthQueuingStrategy({ highWaterMark: MOST_UNREAD }),
  );
  return new Response(body, {
    headers: {
      "content-type": "application/x-ndjson",
      "cache-control": "no-store",
      // nginx would keep it until a buffer is full.
      "x-accel-buffering": "no",
    },
  });
}
