/** The flags of `lmproxy serve` for what stands around it: browsers, other proxies, orchestrators. */
import { type Flag, flagGroup } from "./flag.ts";
import * as kinds from "./kinds.ts";
import { ConfigSchema } from "./schema.ts";

const { properties: fields } = ConfigSchema;

export const PLATFORM_FLAGS: readonly Flag[] = flagGroup("Proxies and platforms", [
  {
    key: "trustedProxies",
    names: ["trusted-proxies"],
    argument: "cidr",
    kind: kinds.cidr,
    value: fields.trustedProxies,
    isList: true,
    help: "Networks of proxies in front: their X-Forwarded-* are continued and name the client.",
  },
  {
    key: "adminHosts",
    names: ["admin-hosts"],
    argument: "name",
    kind: kinds.text("a host name without port"),
    value: fields.adminHosts,
    isList: true,
    help: "Names under which browsers may administer without a key, beside addresses and localhost.",
  },
  {
    key: "allowedOrigins",
    names: ["allowed-origins"],
    argument: "origin",
    kind: kinds.origin,
    value: fields.allowedOrigins,
    isList: true,
    help: "Web pages of these origins may call, without credentials; any unless given.",
  },
  {
    key: "requestIdHeaders",
    names: ["request-id-headers"],
    argument: "name",
    kind: kinds.idHeader,
    value: fields.requestIdHeaders,
    isList: true,
    help: "Headers that may hold a request's id, looked at before X-Request-Id and its like.",
  },
  {
    key: "keepAliveMs",
    names: ["keep-alive"],
    argument: "seconds",
    kind: { ...kinds.delaySeconds, expects: "a number of seconds from 1 to 255" },
    value: fields.keepAliveMs,
    help: "Time that a client's connection may stand idle, whole seconds up to 255.",
  },
  {
    key: "shutdownDelayMs",
    names: ["shutdown-delay"],
    argument: "seconds",
    kind: kinds.waitSeconds,
    value: fields.shutdownDelayMs,
    help: "Time after SIGTERM in which it goes on serving, not ready, while balancers look elsewhere.",
  },
]);
