/** Flags of commands that speak to a running proxy. */
import { Type } from "@sinclair/typebox";
import { type FlagSpec, flagGroup } from "../config/flag.ts";
import * as kinds from "../config/kinds.ts";

export const PROXY_FIELDS = {
  proxyUrl: Type.String({ default: "http://127.0.0.1:8000" }),
  adminKey: Type.Union([Type.String({ pattern: "^[\\x21-\\x7e]+$" }), Type.Null()], {
    default: null,
  }),
};

export const PROXY_FLAGS = flagGroup("Proxy", [
  {
    key: "proxyUrl",
    names: ["proxy-url"],
    variables: ["LMPROXY_PROXY_URL"],
    argument: "url",
    kind: kinds.nodeUrl,
    value: PROXY_FIELDS.proxyUrl,
    help: "The running proxy.",
  },
  {
    key: "adminKey",
    names: ["admin-key"],
    variables: ["LMPROXY_ADMIN_KEY"],
    argument: "key",
    kind: kinds.key,
    value: PROXY_FIELDS.adminKey,
    isSecret: true,
    help: "Its admin key, or an API key where it has none; @path reads it from a file.",
  },
]);

/** Of a command that prints for people unless it is asked for JSON. */
export const JSON_FIELD = Type.Boolean({ default: false });

/** `--json`. @param help What is printed then. */
export function jsonFlag(help: string): FlagSpec {
  return { key: "json", names: ["json"], value: JSON_FIELD, help };
}
