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

SwaggerUIBundle({
  requestInterceptor: askFirst,
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // Otherwise the document's address goes to a validator on the internet.
  validatorUrl: null,
});
