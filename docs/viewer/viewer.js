// Shows /openapi.json of the gateway that serves this page, and sends what is tried out there too.
const page = document.getElementById("api");

try {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`/openapi.json answered ${response.status}`);
  const spec = { ...(await response.json()), servers: [{ url: location.origin }] };
  page.replaceChildren();
  SwaggerUIBundle({
    domNode: page,
    spec,
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    filter: true,
    tryItOutEnabled: true,
    // The badge of a validator on the internet.
    validatorUrl: null,
  });
} catch (error) {
  page.textContent = `The API description could not be loaded: ${error.message}. Reload the page to try again.`;
}
