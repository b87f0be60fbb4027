import { inferenceRoutes } from "../../src/http/routes/inference.ts";

/** The inference endpoints that are known by name. */
export const INFERENCE_PATHS = inferenceRoutes
  .map(({ path }) => path)
  .filter((path) => !path.endsWith("*"));
