import { Elysia } from "elysia";
import { ProxyError } from "../core/errors.ts";
import type { Services } from "./services.ts";

/** Whether the proxy is up, and whether it has somewhere to send requests. Open to all. */
export function healthRoutes({ registry, lifecycle, mode }: Services) {
  const healthy = () => ({ status: "healthy" });
  const ready = () => {
    if (!lifecycle.open) {
      throw new ProxyError("service_unavailable", "The proxy is draining.", { retryAfterS: 1 });
    }
    const missing = mode.needed.find(
      (role) => !registry.serving(null, role).some((node) => node.health.state === "healthy"),
    );
    if (missing === undefined) return { status: "ready" };
    const what = mode.needed.length > 1 ? `${missing} node` : "node";
    throw new ProxyError("service_unavailable", `No ${what} is healthy; see /nodes/status.`, {
      retryAfterS: 1,
    });
  };
  return new Elysia({ name: "health" })
    .get("/health", healthy)
    .get("/liveness", healthy)
    .get("/ready", ready)
    .get("/readiness", ready);
}
