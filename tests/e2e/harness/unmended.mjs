/** Requests whose target goes out exactly as it is: `fetch` would mend dots and slashes on the way. */
import http from "node:http";

/** Gives `{status, code, text, headers}`. */
export function unmended(gateway, target, { method = "GET", headers = {}, body } = {}) {
  const { hostname, port } = new URL(gateway.url);
  return new Promise((resolve, reject) => {
    const request = http.request({ hostname, port, method, path: target, headers, agent: false }, async (response) => {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      resolve({ status: response.statusCode, headers: response.headers, text, code: codeOf(text) });
    });
    request.once("error", reject);
    request.end(body);
  });
}

function codeOf(text) {
  try {
    return JSON.parse(text).code;
  } catch {
    return undefined;
  }
}
