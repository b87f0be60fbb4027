/** Codes with which fetch says that a server cannot prove who it is; nothing was sent then. */
const UNPROVEN: ReadonlySet<string> = new Set([
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REVOKED",
  "CERT_REJECTED",
  "CERT_UNTRUSTED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_CHAIN_TOO_LONG",
  "UNABLE_TO_GET_ISSUER_CERT",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "HOSTNAME_MISMATCH",
]);

const ADVICE: ReadonlyMap<string, string> = new Map([
  ["CERT_NOT_YET_VALID", "is the clock right, here and where it was made?"],
  ["CERT_HAS_EXPIRED", "renew it"],
  ["INVALID_PURPOSE", "it was not made for a server; have one made that is"],
]);

/**
 * What to do about a certificate that is not trusted; null for an error of another kind.
 * @param code of the error of fetch
 * @param otherName what to do about one that is for another name
 */
export function certificateAdvice(code: string, otherName: string): string | null {
  if (!UNPROVEN.has(code)) return null;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID" || code === "HOSTNAME_MISMATCH") return otherName;
  return ADVICE.get(code) ?? "name its issuer's file in NODE_EXTRA_CA_CERTS";
}
