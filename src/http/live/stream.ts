import { ProxyError } from "../../core/errors.ts";
import type { Watcher } from "../../observe/live.ts";

/** A reader that has not taken so much is sent away, bytes; it may come again and gets all anew. */
const MOST_UNREAD = 1024 * 1024;

/** Whoever tells what the page shows. */
export interface Shown {
  /** Tells `watcher` all there is, and then what changes; the function returned ends that. Null without room. */
  watch(watcher: Watcher): (() => void) | null | Promise<(() => void) | null>;
}

/** What the page is told, for as long as its reader stays. @throws ProxyError service_unavailable */
export async function liveStream(live: Shown): Promise<Response> {
  const encoder = new TextEncoder();
  const { promise: opened, resolve: open } =
    Promise.withResolvers<ReadableStreamDefaultController<Uint8Array>>();
  let leave: (() => void) | null = null;
  const body = new ReadableStream<Uint8Array>(
    { start: (controller) => open(controller), cancel: () => leave?.() },
    new ByteLengthQueuingStrategy({ highWaterMark: MOST_UNREAD }),
  );
  const controller = await opened;
  let isOver = false;
  const end = () => {
    if (isOver) return;
    isOver = true;
    leave?.();
    controller.close();
  };
  leave = await live.watch({
    tell(line) {
      const isStuck = (controller.desiredSize ?? 0) <= 0;
      if (isStuck) end();
      else controller.enqueue(encoder.encode(line));
    },
    end,
  });
  if (leave === null) {
    throw new ProxyError(
      "service_unavailable",
      "As many look at the live page as may, or the proxy is about to end; close one of those pages.",
      { retryAfterS: 5 },
    );
  }
  if (isOver) leave();
  return new Response(body, {
    headers: {
      "content-type": "application/x-ndjson",
      "cache-control": "no-store",
      // nginx would keep it until a buffer is full.
      "x-accel-buffering": "no",
    },
  });
}
