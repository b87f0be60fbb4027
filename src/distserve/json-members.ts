/** Reading what engines answer without losing how they wrote it. */
import { lastMember, valueText } from "../core/body/member-spans.ts";
import { scanRequestHead } from "../core/body/request-head.ts";

/** The members of a JSON object, each as JSON text. */
export interface JsonMembers {
  /** The text of the member `name`, or null when there is none. */
  text(name: string): string | null;
}

const encoder = new TextEncoder();

/** Opens a JSON object; null when `json` is none, or what stands in it is not JSON. */
export function readMembers(json: string | Uint8Array): JsonMembers | null {
  const bytes = typeof json === "string" ? encoder.encode(json) : json;
  try {
    const { members } = scanRequestHead(bytes);
    return {
      text(name) {
        const member = lastMember(bytes, members, name);
        return member === null ? null : valueText(bytes, member);
      },
    };
  } catch {
    return null;
  }
}

/** The value of JSON text; undefined when it is none. */
export function parseJson(json: string | null): unknown {
  if (json === null) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
