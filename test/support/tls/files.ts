/** A self-signed certificate for localhost and its key, good for tests and nothing else; they end in 2126. */
import { join } from "node:path";

export const TEST_KEY = join(import.meta.dir, "key.pem");
export const TEST_CERTIFICATE = join(import.meta.dir, "certificate.pem");

/** Of the same key, for another name, and expired since 2021. */
export const EXPIRED_ELSEWHERE = join(import.meta.dir, "expired-elsewhere.pem");

/** The flags with which `serve` uses them. */
export const TLS_FLAGS = ["--tls-key", TEST_KEY, "--tls-cert", TEST_CERTIFICATE] as const;

/** Of the same key, for localhost: valid from 2120, and until 2021. */
export const NOT_YET_VALID = join(import.meta.dir, "not-yet-valid.pem");
export const EXPIRED = join(import.meta.dir, "expired.pem");

/** Of the same key, for localhost, by which a client may say who it is, and no server. */
export const FOR_CLIENTS = join(import.meta.dir, "for-clients.pem");

/** Of the same key, for localhost, with an extension that is critical and that nobody knows. */
export const UNKNOWN_EXTENSION = join(import.meta.dir, "unknown-extension.pem");
