/** Codes with which fetch says that a certificate, or one of its issuers', is not as it has to be. */
const MADE_WRONG: readonly string[] = [
  "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
  "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  "ERROR_IN_CERT_NOT_BEFORE_FIELD",
  "ERROR_IN_CERT_NOT_AFTER_FIELD",
  "CERT_SIGNATURE_FAILURE",
  "CERT_CHAIN_TOO_LONG",
  "PATH_LENGTH_EXCEEDED",
  "INVALID_CA",
  "INVALID_NON_CA",
  "INVALID_EXTENSION",
  "INVALID_POLICY_EXTENSION",
  "UNHANDLED_CRITICAL_EXTENSION",
  "UNSUPPORTED_EXTENSION_FEATURE",
  "KEYUSAGE_NO_CERTSIGN",
  "KEYUSAGE_NO_DIGITAL_SIGNATURE",
  "PERMITTED_VIOLATION",
  "EXCLUDED_VIOLATION",
];

/** Codes with which it says that a server cannot prove who it is; nothing was sent then. */
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
  "UNABLE_TO_GET_ISSUER_CERT",
  "INVALID_PURPOSE",
  "HOSTNAME_MISMATCH",
  "IP_ADDRESS_MISMATCH",
  "UNKNOWN_CERTIFICATE_VERIFICATION_ERROR",
  ...MADE_WRONG,
]);

const OTHER_NAME: ReadonlySet<string> = new Set([
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "HOSTNAME_MISMATCH",
  "IP_ADDRESS_MISMATCH",
]);

const ADVICE: ReadonlyMap<string, string> = new Map([
  ["CERT_NOT_YET_VALID", "is the clock right, here and where it was made?"],
  ["CERT_HAS_EXPIRED", "renew it"],
  ["CERT_REVOKED", "have it made anew"],
  ["INVALID_PURPOSE", "it was not made for a server; have one made that is"],
  ...MADE_WRONG.map((code) => [code, "it, or an issuer's, is wrong; have it made anew"] as const),
]);

/**
 * What to do about a certificate that is not trusted; null for an error of another kind.
 * @param code of the error of fetch
 * @param otherName what to do about one that is for another name
 */
export function certificateAdvice(code: string, otherName: string): string | null {
  if (!UNPROVEN.has(code)) return null;
  if (OTHER_NAME.has(code)) return otherName;
  return ADVICE.get(code) ?? "name its issuer's file in NODE_EXTRA_CA_CERTS";
}
