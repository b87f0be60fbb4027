import { callRoutes } from "./calls.ts";
import { debugRoutes } from "./debug.ts";
import { distServeRoutes } from "./distserve.ts";
import { documentationRoutes } from "./documentation.ts";
import { engineInfoRoutes } from "./engine-info.ts";
import { engineMetricsRoutes } from "./engine-metrics.ts";
import { otherInferenceRoutes } from "./forwarded.ts";
import { healthRoutes } from "./health.ts";
import { inferenceRoutes } from "./inference.ts";
import { keptRoutes } from "./kept.ts";
import { liveRoutes } from "./live.ts";
import { metricsRoutes } from "./metrics.ts";
import { modelRoutes } from "./models.ts";
import { nodeRoutes } from "./nodes.ts";
import type { Route } from "./route.ts";
import { settingRoutes } from "./settings.ts";
import { upgradeRoutes } from "./upgrade.ts";
import { workerRoutes } from "./workers.ts";

/**
 * Everything that the proxy answers, in the order of its document: who may call it, how it is
 * described and what it does. The router, `Allow`, what browsers' pages may ask and `/docs` are made
 * of this.
 */
export const ROUTES: readonly Route[] = [
  ...inferenceRoutes,
  ...otherInferenceRoutes,
  ...keptRoutes,
  ...modelRoutes,
  ...engineInfoRoutes,
  ...nodeRoutes,
  ...callRoutes,
  ...workerRoutes,
  ...distServeRoutes,
  ...healthRoutes,
  ...metricsRoutes,
  ...engineMetricsRoutes,
  ...upgradeRoutes,
  ...debugRoutes,
  ...settingRoutes,
  ...liveRoutes,
  ...documentationRoutes(() => ROUTES),
];
