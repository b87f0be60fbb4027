/** Bytes for the front door: requests put together from good and bad parts, then damaged. */
import { ACCEPTED, REFUSED } from "../http/framing-cases.ts";
import {
  BODIES,
  FAIR_HEADERS,
  FOUL_HEADERS,
  HOSTS,
  METHODS,
  SPLINTERS,
  TARGETS,
} from "./http-parts.ts";

type Random = () => number;

const FRAMINGS = [...Object.values(REFUSED).flat(), ...ACCEPTED].map(([, text]) => text);

/** Inputs without end, the same for the same draws. */
export class HttpInputs {
  readonly #random: Random;
  readonly #seeds: readonly Buffer[];

  /** @param corpus Inputs that found something once. */
  constructor(random: Random, corpus: readonly Uint8Array[]) {
    this.#random = random;
    const framings = FRAMINGS.filter((text) => text.length < 30_000);
    this.#seeds = [
      ...corpus.map((bytes) => Buffer.from(bytes)),
      ...framings.map((text) => Buffer.from(text, "latin1")),
    ];
  }

  next(): Buffer {
    const draw = this.#random();
    if (draw < 0.1) return this.#damaged(this.#pick(this.#seeds) ?? Buffer.alloc(0));
    const request = Buffer.from(this.#request(), "latin1");
    if (draw < 0.5) return request;
    if (draw < 0.55) return Buffer.concat([request, this.#pick(this.#seeds) ?? request]);
    return this.#damaged(request);
  }

  #pick<T>(all: readonly T[]): T | undefined {
    return all[Math.floor(this.#random() * all.length)];
  }

  #request(): string {
    const random = this.#random;
    const method = random() < 0.7 ? "POST" : this.#pick(METHODS);
    const target = random() < 0.5 ? "/v1/completions" : this.#pick(TARGETS);
    const host = random() < 0.95 ? "a" : this.#pick(HOSTS);
    const headers = Array.from({ length: Math.floor(random() * 4) }, () =>
      this.#pick(random() < 0.95 ? FAIR_HEADERS : FOUL_HEADERS),
    );
    if (random() < 0.8) headers.push("Authorization: Bearer sk-client");
    const body = random() < 0.5 ? '{"model":"tiny"}' : (this.#pick(BODIES) ?? "");
    const framed = this.#framed(body);
    const version = random() < 0.95 ? "HTTP/1.1" : "HTTP/1.0";
    const lines = [
      `${method} ${target} ${version}`,
      `Host: ${host}`,
      ...headers,
      ...framed.headers,
    ];
    return `${lines.join("\r\n")}\r\n\r\n${framed.body}`;
  }

  #framed(body: string): { headers: string[]; body: string } {
    const draw = this.#random();
    if (draw < 0.6) return { headers: [`Content-Length: ${body.length}`], body };
    if (draw < 0.65) return { headers: [`Content-Length: ${body.length + 1}`], body };
    if (draw < 0.7) return { headers: [`Content-Length: ${Math.max(0, body.length - 1)}`], body };
    if (draw < 0.75) return { headers: [], body };
    const size = 1 + Math.floor(this.#random() * Math.max(1, body.length));
    let chunks = "";
    for (let at = 0; at < body.length; at += size) {
      const chunk = body.slice(at, at + size);
      chunks += `${chunk.length.toString(16)}\r\n${chunk}\r\n`;
    }
    return { headers: ["Transfer-Encoding: chunked"], body: `${chunks}0\r\n\r\n` };
  }

  #damaged(bytes: Buffer): Buffer {
    let damaged = bytes;
    for (let times = 1 + Math.floor(this.#random() * 3); times > 0; times -= 1)
      damaged = this.#damage(damaged);
    return damaged;
  }

  #damage(bytes: Buffer): Buffer {
    const random = this.#random;
    const at = Math.floor(random() * (bytes.length + 1));
    const length = 1 + Math.floor(random() ** 4 * 40);
    const before = bytes.subarray(0, at);
    const put = (what: Buffer, skip: number) =>
      Buffer.concat([before, what, bytes.subarray(at + skip)]);
    switch (Math.floor(random() * 6)) {
      case 0:
        return put(Buffer.of(Math.floor(random() * 256)), 1);
      case 1:
        return put(Buffer.alloc(0), length);
      case 2:
        return put(Buffer.from(this.#pick(SPLINTERS) ?? "", "latin1"), 0);
      case 3:
        return put(Buffer.from(this.#pick(SPLINTERS) ?? "", "latin1"), length);
      case 4:
        return put(bytes.subarray(at, at + length), 0);
      default:
        return random() < 0.2
          ? before
          : put(Buffer.from(`${this.#pick(FOUL_HEADERS)}\r\n`, "latin1"), 0);
    }
  }
}
