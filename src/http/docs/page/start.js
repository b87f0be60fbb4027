// Draws the page at /docs. Deferred, like swagger-ui's own script before it, so both find the page there.
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const followScheme = () =>
  document.documentElement.classList.toggle("dark-mode", prefersDark.matches);
followScheme();
prefersDark.addEventListener("change", followScheme);

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // Otherwise the document's address goes to a validator on the internet.
  validatorUrl: null,
});
