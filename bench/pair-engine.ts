import { jsonAnswer, MODEL } from "./wire.ts";

const CRLF = "\r\n\r\n";
/** What every engine of the benchmark answers, without its head. */
const ANSWER = jsonAnswer().subarray(jsonAnswer().indexOf(CRLF) + CRLF.length);
const DONE = JSON.stringify({
  status: 1,
  engine_endpoint_info: { zmq_address: "tcp://127.0.0.1:1" },
  kvtransfer_endpoint_info: [],
});
const INFO = JSON.stringify(JSON.stringify({ tp_size: 1 }));
const MODELS = JSON.stringify({ object: "list", data: [{ id: MODEL }] });

export interface PairEngine {
  readonly url: string;
  stop(): Promise<void>;
}

/** A prefill or decode engine that costs little: it answers as the protocol wants and computes nothing. */
export function startPairEngine(role: "prefill" | "decode"): PairEngine {
  let session = 0;
  const prefilled = () => {
    const body = JSON.parse(ANSWER.toString("latin1"));
    const cache = { id: String(session++), cache_block_ids: [1, 2, 3], remote_token_ids: [7] };
    return JSON.stringify({ ...body, ...cache });
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/health") return new Response();
      if (pathname === "/v1/models") return json(MODELS);
      if (pathname === "/distserve/engine_info") return json(INFO);
      if (request.method === "GET") return new Response(null, { status: 404 });
      await request.bytes();
      if (pathname.startsWith("/distserve/")) return json(DONE);
      return json(role === "prefill" ? prefilled() : ANSWER);
    },
  });
  return { url: server.url.origin, stop: () => server.stop(true) };
}

function json(body: string | Uint8Array): Response {
  return new Response(body, { headers: { "content-type": "application/json" } });
}

/** Run by itself: prints the URLs of a prefill and a decode engine as a line of JSON, ends with stdin. */
if (import.meta.main) {
  const urls = { prefill: startPairEngine("prefill").url, decode: startPairEngine("decode").url };
  console.log(JSON.stringify(urls));
  for await (const _ of Bun.stdin.stream()) {
    // Nothing is ever said here: the end of the stream is the runner's end.
  }
  process.exit(0);
}
