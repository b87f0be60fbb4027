/** What a stream says when the engine fails under it: its 200 has gone out long before. */
import { asciiEvent, EngineRefusal, namedEvent, SSE_DONE, sseEvent } from "./answer.ts";
import { dialectOf, errorBody } from "./errors.ts";
import type { Settings } from "./settings.ts";

/** The events, and if the engine fails an event with the error, and the end as if all were well. */
export async function* withFailure(
  settings: Settings,
  events: AsyncGenerator<string, void>,
): AsyncGenerator<string, void> {
  try {
    yield* events;
  } catch (error) {
    if (!(error instanceof EngineRefusal)) throw error;
    const isLmdeploy = settings.kind === "lmdeploy";
    yield isLmdeploy
      ? asciiEvent({ error: errorBody(settings, "flat", error) })
      : sseEvent(errorBody(settings, dialectOf(settings, ""), error));
    yield SSE_DONE;
  }
}

/** As `withFailure`, for `/v1/messages`, whose last word is then the error. */
export async function* withNamedFailure(
  settings: Settings,
  events: AsyncGenerator<string, void>,
): AsyncGenerator<string, void> {
  try {
    yield* events;
  } catch (error) {
    if (!(error instanceof EngineRefusal)) throw error;
    yield namedEvent("error", errorBody(settings, "anthropic", error));
  }
}
