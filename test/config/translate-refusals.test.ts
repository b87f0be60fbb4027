/** Other routers' command lines: which flags are refused, and in which words. */
import { expect, test } from "bun:test";
import { refusal } from "./parse.ts";

test.each([
  [
    "--worker-urls grpc://a:1",
    "--worker-urls is refused: engines are reached over http:// or https:// alone",
  ],
  [
    "--policy kv_aware",
    "--policy is refused: engines' KV events are not read; --strategy prefix_aware does without",
  ],
  ["--enable-trace", /OTEL_EXPORTER_OTLP_ENDPOINT/],
  ["--enable-program-scheduling", /--sticky keeps a session on its node$/],
  ["--policy fastest", /^--strategy must be one of .* \(--policy is taken as --strategy\)$/],
  [
    "--prefill http://a 9001",
    "--prefill takes no bootstrap port: that is SGLang's, and prefill nodes here are LMDeploy's",
  ],
  [
    "--rate-limit-tokens-per-second 5",
    /^--rate-limit-tokens-per-second is refused: a rate .* --max-concurrency-per-client$/,
  ],
  [
    "--router-policy random",
    "--router-policy is refused: lmproxy starts no engines; start them and name them with --node",
  ],
  ["--backend openai", "--backend is refused: nodes are engines, not providers"],
  ["--intra-node-data-parallel-size 8", /each rank its own port and --node$/],
  ["--max-payload-size", /^--max-body needs a value.*\(--max-payload-size is taken as/],
  ["--as smg --api-key --sticky-sessions", /^--api-keys needs a value/],
  ["--as vllm-router --api-key --policy random", /^--upstream-api-key needs a value/],
  ["--worker-urls foo", /not "foo" \(--worker-urls is taken as --node\)$/],
  ["--worker_urls=foo", /not "foo" \(--worker_urls is taken as --node\)$/],
  ["--api-key @gone", /^--api-keys: cannot read .*\(--api-key is taken as --api-keys\)$/],
  ["--tls-cert-path c", /^--tls-cert needs --tls-key.*\(--tls-cert-path is taken as --tls-cert\)$/],
  ["--worker-urls http://a --port x", '--port must be a whole number from 0 to 65535, not "x"'],
  ["--service-discovery static", /is refused: discovery through Kubernetes/],
  ["--disable-retries 5", "--disable-retries takes no value"],
  ["--policy random http://a:1", "--policy takes one value"],
  ["--cb-failure-threshold 5 http://a:1", "--cb-failure-threshold takes one value"],
  ["--as nginx", '--as must be one of lmdeploy, vllm-router, sglang-router, smg, not "nginx"'],
  ["--forward-credentials --upstream-api-key k", /choose one$/],
])("%s is refused", (argv, message) => {
  const said = refusal(argv);
  if (typeof message === "string") expect(said).toBe(message);
  else expect(said).toMatch(message);
});
