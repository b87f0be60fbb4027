/** What the document says before it comes to the single calls; Markdown. */
export const DESCRIPTION = `One address for many LLM engines: lmproxy chooses an engine for each
request and passes the engine's answer on, byte for byte.

**Inference.** Bodies pass as they came: fields that are not named here reach the engine, too. Besides
the paths below, any other POST under \`/v1/\` is forwarded to a node that serves the \`model\` in its
body (for \`multipart/form-data\`, in its \`model\` field), except paths that change an engine, such as
loading adapters or weights, which are answered with 404; so are \`/inference/v1/generate\`, \`/classify\`,
\`/encode\`, \`/invocations\`, \`/v2/rerank\`, \`/v2/embed\` and the paths of \`--forward\`.

**Errors.** What the proxy itself refuses comes in OpenAI's envelope, under \`/v1/messages\` and
\`/anthropic/\` in Anthropic's. Errors of an engine pass unchanged, whatever their shape. A known path
with another method is 405, with \`Allow\`. \`Proxy-Status\` (RFC 9209) on an error says that it is the
proxy's own; errors of engines do not carry it, unless another proxy before them set it. With 429 and
503, \`Retry-After\` says when to try again.

**Keys.** A proxy started with \`--api-keys\` wants one of them for inference and models; one with
\`--admin-key\` wants that for nodes, metrics and operation, one without takes an API key there, too. A
proxy started with neither asks for none. Health and documentation are open to all.

**Request ids.** \`X-Request-Id\` of a request is kept, or made up, and returned.`;

export const TAGS = [
  { name: "Chat", description: "Text generation in the ways of OpenAI and Anthropic" },
  {
    name: "Other inference",
    description: "Embeddings, ranking, tokens: as far as engines offer it",
  },
  { name: "Models", description: "What can be asked for" },
  { name: "Nodes", description: "The engines behind the proxy" },
  { name: "DistServe", description: "Pairs of prefill and decode engines, and what they share" },
  { name: "Health", description: "For load balancers and orchestrators" },
  { name: "Operation", description: "What runs, metrics, settings: for whoever runs the proxy" },
  { name: "Documentation", description: "This page and the document behind it" },
] as const;
