/** HTTPS on both sides, and what stops the start when it cannot be had. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type SecureVersion } from "node:tls";
import OpenAI from "openai";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { run } from "../commands/program.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import {
  EXPIRED,
  FOR_CLIENTS,
  NOT_YET_VALID,
  TEST_CERTIFICATE,
  TEST_KEY,
  TLS_FLAGS,
  UNKNOWN_EXTENSION,
} from "../support/tls/files.ts";
import { until } from "../support/until.ts";

const ca = await Bun.file(TEST_CERTIFICATE).text();
const keyText = await Bun.file(TEST_KEY).text();

let engine: RunningEngine;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = await startEngine({ models: ["m"] });
  proxy = await startProxy([...TLS_FLAGS, "--node", engine.url]);
  await until("there is a model", async () => {
    const answer = await fetch(`${proxy.url}/v1/models`, { tls: { ca } });
    return Object(await answer.json()).data.length === 1;
  });
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop(true);
});

describe("a proxy with --tls-key and --tls-cert", () => {
  test("serves the openai client, streamed and not", async () => {
    expect(proxy.url).toStartWith("https://");
    const client = new OpenAI({
      baseURL: `${proxy.url}/v1`,
      apiKey: "any",
      maxRetries: 0,
      fetch: (url, init) => fetch(String(url), { ...init, tls: { ca } }),
    });
    const asked = {
      model: "m",
      messages: [{ role: "user" as const, content: "x" }],
      max_tokens: 5,
    };
    const whole = await client.chat.completions.create(asked);
    expect(whole.usage?.completion_tokens).toBe(5);
    let pieces = 0;
    for await (const _ of await client.chat.completions.create({ ...asked, stream: true }))
      pieces += 1;
    expect(pieces).toBeGreaterThan(2);
    expect(engine.state().lastRequests.at(-1)?.headers["x-forwarded-proto"]).toBe("https");
  });

  test.each(["a", "ab", "abc", "proxy.example.com:8443", "[::1]:8443"])(
    "finds the path whatever the host, as %s",
    async (host) => {
      for (const target of ["/health", `https://${host}/health`, `https://${host}/health?x`]) {
        const request = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
        const { answers } = await sendRaw(proxy.port, request, { tls: true });
        expect(answers.map(({ status, body }) => [status, body])).toEqual([
          [200, '{"status":"healthy"}'],
        ]);
      }
      const post = postText(
        "/v1/completions?a=b",
        '{"model":"m","prompt":"x","max_tokens":1}',
      ).replace("proxy", host);
      const { answers } = await sendRaw(proxy.port, post, { tls: true });
      expect(answers.map(({ status }) => status)).toEqual([200]);
      expect(engine.state().lastRequests.at(-1)?.target).toBe("/v1/completions?a=b");
    },
  );

  test.each([
    ["SSL 3.0", 0x00],
    ["TLS 1.0", 0x01],
    ["TLS 1.1", 0x02],
  ])("refuses %s", async (_, minor) => {
    const answer = await tlsAnswer(clientHello(minor));
    // An alert (21) that is fatal (2): protocol version (70).
    expect(answer[0]).toBe(21);
    expect([...answer.subarray(5, 7)]).toEqual([2, 70]);
  });

  test.each<SecureVersion>(["TLSv1.2", "TLSv1.3"])("speaks %s", async (version) => {
    const { promise, resolve, reject } = Promise.withResolvers<string | null>();
    const socket = connect({
      port: proxy.port,
      host: "127.0.0.1",
      ca,
      minVersion: version,
      maxVersion: version,
    });
    socket.on("secureConnect", () => resolve(socket.getProtocol()));
    socket.on("error", reject);
    expect(await promise).toBe(version);
    socket.destroy();
  });

  test("says nothing to who does not speak TLS", async () => {
    const { answers } = await sendRaw(proxy.port, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(answers).toEqual([]);
  });
});

/** The first message of a client that speaks nothing newer than SSL 3.0 (0) to TLS 1.1 (2). */
function clientHello(minor: number): Uint8Array {
  const suites = [0xc0, 0x09, 0xc0, 0x0a, 0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f, 0x00, 0x35];
  const extensions = [0, 10, 0, 4, 0, 2, 0, 0x17, 0, 11, 0, 2, 1, 0];
  const random = Array<number>(32).fill(7);
  const body = [
    3,
    minor,
    ...random,
    0,
    0,
    suites.length,
    ...suites,
    1,
    0,
    0,
    extensions.length,
    ...extensions,
  ];
  const handshake = [1, 0, 0, body.length, ...body];
  return Uint8Array.of(22, 3, minor, 0, handshake.length, ...handshake);
}

async function tlsAnswer(hello: Uint8Array): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  let received = Buffer.alloc(0);
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
    socket: {
      open: (opened) => void opened.write(hello),
      data: (_socket, piece) => {
        received = Buffer.concat([received, piece]);
        if (received.length >= 7) resolve(received);
      },
      close: () => resolve(received),
    },
  });
  const answer = await promise;
  socket.terminate();
  return answer;
}

describe("what is no key with its certificate stops the start with one line:", () => {
  const pem = (type: string) => `-----BEGIN ${type}-----\ncanary\n-----END ${type}-----\n`;
  test.each([
    ["an empty key", "", null],
    ["an empty certificate", null, ""],
    ["a key that is none", "canary", null],
    ["a certificate that is none", null, "canary"],
    ["a key in pieces", pem("PRIVATE KEY"), null],
    ["a certificate in pieces", null, pem("CERTIFICATE")],
    ["a certificate for a key", ca, null],
    ["a key for a certificate", null, keyText],
  ])("%s", async (_, key, certificate) => {
    const folder = await mkdtemp(join(tmpdir(), "lmproxy-tls-"));
    const keyPath = key === null ? TEST_KEY : join(folder, "key.pem");
    const certificatePath =
      certificate === null ? TEST_CERTIFICATE : join(folder, "certificate.pem");
    if (key !== null) await Bun.write(keyPath, key);
    if (certificate !== null) await Bun.write(certificatePath, certificate);
    const flags = ["--port", "0", "--tls-key", keyPath, "--tls-cert", certificatePath];
    const { out, err, code } = await run(flags);
    await rm(folder, { recursive: true });
    expect({ out, code }).toEqual({ out: "", code: 2 });
    expect(err).toMatch(/^lmproxy: the files of --tls-key and --tls-cert make no key [^\n]+\n$/);
    expect(err).not.toContain("canary");
  });
});

describe("an engine that speaks HTTPS", () => {
  const serve = (hostname = "127.0.0.1") =>
    Bun.serve({
      hostname,
      port: 0,
      tls: { key: Bun.file(TEST_KEY), cert: Bun.file(TEST_CERTIFICATE) },
      fetch: (request) =>
        new URL(request.url).pathname === "/v1/models"
          ? Response.json({ data: [{ id: "secret" }] })
          : Response.json({ status: "healthy" }),
    });

  test("is refused while nobody vouches for its certificate, and /nodes/status says so", async () => {
    const server = serve();
    await using plain = await startProxy(["--node", server.url.origin]);
    const [node] = await until("it has an error", async () => {
      const nodes = Object.values(await plain.status());
      return nodes[0]?.last_error !== null && nodes;
    });
    expect(node?.last_error).toMatch(
      /its certificate is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)/,
    );
    expect(node?.state).not.toBe("healthy");
    await server.stop(true);
  });

  test.each([
    ["CERT_HAS_EXPIRED", EXPIRED, "renew it"],
    ["CERT_NOT_YET_VALID", NOT_YET_VALID, "is the clock right"],
    ["INVALID_PURPOSE", FOR_CLIENTS, "it was not made for a server"],
    ["UNHANDLED_CRITICAL_EXTENSION", UNKNOWN_EXTENSION, "it, or an issuer's, is wrong"],
  ])("is refused with %s, which is said", async (code, cert, advice) => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { key: Bun.file(TEST_KEY), cert: Bun.file(cert) },
      fetch: () => Response.json({ status: "healthy" }),
    });
    const url = `https://localhost:${server.port}`;
    await using proxy = await startProxy(["--node", url], { env: { NODE_EXTRA_CA_CERTS: cert } });
    const error = await until(
      "it has an error",
      async () => (await proxy.status())[url]?.last_error,
    );
    expect(error).toContain(`its certificate is not trusted (${code}); ${advice}`);
    await server.stop(true);
  });

  test("is asked when its issuer is trusted, by address and by name", async () => {
    const server = serve();
    const nodes = ["--node", server.url.origin, "--node", `https://localhost:${server.port}`];
    const env = { NODE_EXTRA_CA_CERTS: TEST_CERTIFICATE };
    await using trusting = await startProxy(nodes, { env });
    await until("both are healthy", async () => {
      const all = Object.values(await trusting.status());
      return (
        all.length === 2 &&
        all.every(({ state, models }) => state === "healthy" && models.length === 1)
      );
    });
    await server.stop(true);
  });

  test.skipIf(process.platform !== "linux")(
    "is refused by another name than its certificate's",
    async () => {
      const server = serve("127.0.0.2");
      const env = { NODE_EXTRA_CA_CERTS: TEST_CERTIFICATE };
      await using trusting = await startProxy(["--node", server.url.origin], { env });
      const error = await until("it has an error", async () => {
        const [node] = Object.values(await trusting.status());
        return node?.last_error;
      });
      expect(error).toMatch(/its certificate is not trusted \(ERR_TLS_CERT_ALTNAME_INVALID\)/);
      await server.stop(true);
    },
  );
});
