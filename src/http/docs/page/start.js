// Draws the page at /docs. Deferred, like swagger-ui's own script before it, so both find the page there.
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const followScheme = () =>
  document.documentElement.classList.toggle("dark-mode", prefersDark.matches);
followScheme();
prefersDark.addEventListener("change", followScheme);

/** Calls that end engines ask first: here one click would do it. */
const askFirst = (request) => {
  const { pathname } = new URL(request.url, location.href);
  const isEnd = /^\/nodes\/terminate(_all)?$/.test(pathname);
  if (isEnd && !confirm(`${pathname} ends engines for good. Send it?`))
    throw new Error("Not sent.");
  return request;
};

/** As in `example-model.ts`. */
const EXAMPLE_MODEL = "internlm2-chat-7b";

/** What swagger-ui draws without a name that a screen reader could say. */
const NAMES = {
  ".body-param__text": "Body to send",
  ".examples-select-element": "Example",
};
new MutationObserver(() => {
  for (const [selector, name] of Object.entries(NAMES)) {
    for (const element of document.querySelectorAll(`${selector}:not([aria-label])`)) {
      element.setAttribute("aria-label", name);
    }
  }
}).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });

/**
 * The examples name a model that is served, as far as strangers may know; with a key, as far as its
 * holder may.
 */
const nameModels = async ({ value }) => {
  const key = typeof value === "string" ? value : value?.password;
  if (!key) return;
  const answer = await fetch("/openapi.json", { headers: { authorization: `Bearer ${key}` } });
  const spec = await answer.text();
  if (spec === ui.specSelectors.specStr()) return;
  ui.specActions.updateSpec(spec);
  for (const path of Object.keys(JSON.parse(spec).paths)) {
    const body = ui.oas3Selectors.requestBodyValue(path, "post");
    // An example that is open already is drawn anew; what somebody has made of it stays.
    const isExample = typeof body === "string" && body.includes(`"${EXAMPLE_MODEL}"`);
    if (isExample) ui.oas3Actions.clearRequestBodyValue({ pathMethod: [path, "post"] });
  }
};

const authorize = (original) => (given) => {
  for (const one of Object.values(given)) void nameModels(one);
  return original(given);
};

const ui = SwaggerUIBundle({
  plugins: [
    ({ React }) => ({
      statePlugins: { auth: { wrapActions: { authorize } } },
      // Paths are links within buttons, which do the same: a screen reader knows no such thing.
      components: { DeepLink: ({ text }) => React.createElement("span", null, text) },
    }),
  ],
  requestInterceptor: askFirst,
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // The default's numbers are hard to read on its own background.
  syntaxHighlight: { theme: "obsidian" },
  // Otherwise the document's address goes to a validator on the internet.
  validatorUrl: null,
});
