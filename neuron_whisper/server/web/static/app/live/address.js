// The address of the stream of raw audio, and the subprotocols with the key: a page cannot set a socket's headers.

const KEY_PROTOCOL = "openai-insecure-api-key.";

/**
 * @param {string} base the page's address
 * @param {{rate: number, model?: string, language?: string, prompt?: string}} options
 */
export function buildStreamUrl(base, { rate, model, language, prompt }) {
  const url = new URL("v1/audio/stream", base);
  url.protocol = url.protocol.replace("http", "ws");
  url.searchParams.set("sample_rate", String(rate));
  url.searchParams.set("words", "true");
  if (model) url.searchParams.set("model", model);
  if (language) url.searchParams.set("language", language);
  if (prompt?.trim()) url.searchParams.set("prompt", prompt.trim());
  return url.href;
}

/** @param {string} key "" where there is none */
export function buildProtocols(key) {
  return key ? ["realtime", KEY_PROTOCOL + key] : [];
}
