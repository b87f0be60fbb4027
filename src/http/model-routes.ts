import { Elysia } from "elysia";
import { anthropicModels, oneOpenAiModel, openAiModels } from "./models.ts";
import type { Services } from "./services.ts";

/** What can be asked for, in OpenAI's and Anthropic's words. */
export function modelRoutes({ registry, access, startedAtS }: Services) {
  const guard = ({ request }: { request: Request }) => {
    access.client(request, null);
  };
  return new Elysia({ name: "models" })
    .get("/v1/models", () => openAiModels(registry, startedAtS), { beforeHandle: guard })
    .get("/v1/models/*", ({ params }) => oneOpenAiModel(registry, params["*"], startedAtS), {
      beforeHandle: guard,
    })
    .get("/anthropic/v1/models", () => anthropicModels(registry, startedAtS), {
      beforeHandle: guard,
    });
}
