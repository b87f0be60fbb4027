/** The flags of `lmproxy serve` that name nodes and say how they are chosen, in both modes. */

import { STRATEGY_ALIASES, STRATEGY_NAMES } from "../core/strategies/index.ts";
import { type Flag, flagGroup } from "./flag.ts";
import * as kinds from "./kinds.ts";
import { ConfigSchema } from "./schema.ts";

const { properties: fields } = ConfigSchema;
const strategy = kinds.choice(STRATEGY_NAMES, STRATEGY_ALIASES);

const routing = flagGroup("Nodes and routing", [
  {
    key: "nodes",
    names: ["node"],
    argument: "url",
    kind: kinds.namedNodeUrl,
    value: fields.nodes,
    isList: true,
    mode: "Hybrid",
    help: "An engine to route to from the start, NAME=URL to give it a name; engines may also register.",
  },
  {
    key: "modelAliases",
    names: ["model-alias"],
    argument: "alias=name",
    kind: kinds.modelAlias,
    value: fields.modelAliases,
    isList: true,
    help: "A further name by which clients may ask for a model; engines get its own.",
  },
  {
    key: "strategy",
    names: ["strategy", "routing-strategy"],
    argument: "name",
    kind: strategy,
    value: fields.strategy,
    help: `How a node is chosen: ${STRATEGY_NAMES.join(", ")}.`,
  },
  {
    key: "sticky",
    names: ["sticky"],
    value: fields.sticky,
    help: "Over any strategy: a session (X-Session-ID and what agents send) stays on the node that had it, unless that is out, full or overloaded.",
  },
  {
    key: "sessionHeaders",
    names: ["session-header"],
    argument: "name",
    kind: kinds.text("the name of a header, such as X-Conversation"),
    value: fields.sessionHeaders,
    isList: true,
    help: "A header that names the session, before those that are known.",
  },
  {
    key: "sessionTimeoutMs",
    names: ["session-timeout"],
    argument: "seconds",
    kind: kinds.delaySeconds,
    value: fields.sessionTimeoutMs,
    help: "How long a session without requests keeps its node.",
  },
  {
    key: "servingStrategy",
    names: ["serving-strategy"],
    argument: "mode",
    kind: kinds.choice(["Hybrid", "DistServe"]),
    value: fields.servingStrategy,
    help: "Hybrid: one engine makes an answer. DistServe: prefill and decode on different engines.",
  },
]);

const distserve = flagGroup("DistServe", [
  {
    key: "prefillNodes",
    names: ["prefill"],
    argument: "url",
    kind: kinds.namedNodeUrl,
    value: fields.prefillNodes,
    isList: true,
    mode: "DistServe",
    help: "A prefill engine to use from the start.",
  },
  {
    key: "decodeNodes",
    names: ["decode"],
    argument: "url",
    kind: kinds.namedNodeUrl,
    value: fields.decodeNodes,
    isList: true,
    mode: "DistServe",
    help: "A decode engine to use from the start.",
  },
  {
    key: "prefillStrategy",
    names: ["prefill-strategy"],
    argument: "name",
    kind: strategy,
    value: fields.prefillStrategy,
    mode: "DistServe",
    help: "Strategy among prefill nodes. Default: --strategy; where that is not given either, prefix_aware.",
  },
  {
    key: "decodeStrategy",
    names: ["decode-strategy"],
    argument: "name",
    kind: strategy,
    value: fields.decodeStrategy,
    mode: "DistServe",
    help: "Strategy among decode nodes. Default: --strategy.",
  },
  {
    key: "migrationProtocol",
    names: ["migration-protocol"],
    argument: "name",
    kind: kinds.choice(["RDMA", "NVLINK"]),
    value: fields.migrationProtocol,
    mode: "DistServe",
    help: "How KV blocks travel: RDMA or NVLINK.",
  },
  {
    key: "linkType",
    names: ["link-type"],
    argument: "name",
    kind: kinds.choice(["RoCE", "IB"]),
    value: fields.linkType,
    mode: "DistServe",
    help: "Link that RDMA runs on: RoCE or IB.",
  },
  {
    key: "gdr",
    names: ["disable-gdr"],
    value: fields.gdr,
    sets: false,
    mode: "DistServe",
    help: "RDMA without GPU-direct.",
  },
  {
    key: "dummyPrefill",
    names: ["dummy-prefill"],
    value: fields.dummyPrefill,
    mode: "DistServe",
    help: "Skip the prefill step; for measuring decode engines alone.",
  },
  {
    key: "warmup",
    names: ["no-warmup"],
    value: fields.warmup,
    sets: false,
    mode: "DistServe",
    help: "Connect a pair when a request needs it, not already when a node joins.",
  },
]);

export const ROUTING_FLAGS: readonly Flag[] = [...routing, ...distserve];
