// What Node knows about the handshake of its own WebSocket, and does not say in the events of the WebSocket: the TCP
// socket, the status of a refusal, and the error of a failed attempt. Its HTTP client, undici, publishes them on
// diagnostics channels. Elsewhere there are none, and the observer learns nothing.

/** @typedef {{ ref(): unknown, unref(): unknown }} RefCounted A socket that keeps the process alive, or does not. */

/** @typedef {{ subscribe(name: string, listener: (message: any) => void): void,
 *   unsubscribe(name: string, listener: (message: any) => void): void }} Channels */

/** Observes the handshake of one attempt. The attempt is identified by its client key, which no other request has. */
export class HandshakeObserver {
  /** The TCP socket. @type {RefCounted | null} */
  socket = null;
  /** The HTTP status, if it is not 101. @type {number | null} */
  status = null;
  /** The error of the TCP or TLS connection. @type {unknown} */
  error = null;
  /** The handshake's request. @type {unknown} */
  #request = null;
  #listeners;
  #channels;

  /** @param {string} clientKey */
  constructor(clientKey) {
    this.#channels = diagnosticsChannels();
    this.#listeners = {
      "undici:request:create": (/** @type {any} */ { request }) => {
        if (String(request.headers).includes(clientKey)) this.#request = request;
      },
      "undici:client:sendHeaders": (/** @type {any} */ { request, headers, socket }) => {
        if (request !== this.#request && !String(headers).includes(clientKey)) return;
        this.#request = request;
        this.socket = socket;
      },
      "undici:request:headers": (/** @type {any} */ { request, response }) => {
        if (request === this.#request) this.status = response.statusCode;
      },
      "undici:request:error": (/** @type {any} */ { request, error }) => {
        if (request === this.#request) this.error = error;
      },
    };
    for (const [name, listener] of Object.entries(this.#listeners)) this.#channels?.subscribe(name, listener);
  }

  /** The attempt has ended, or the connection is open. */
  stop() {
    for (const [name, listener] of Object.entries(this.#listeners)) this.#channels?.unsubscribe(name, listener);
    this.#channels = undefined;
  }
}

/** Node's module, without an import, which other platforms and bundlers could not resolve. @returns {Channels | undefined} */
const diagnosticsChannels = () => {
  const { process } = /** @type {{ process?: { getBuiltinModule?: (name: string) => Channels | undefined } }} */ (globalThis);
  return process?.getBuiltinModule?.("node:diagnostics_channel");
};

/**
 * Why an attempt to connect failed, as far as the platform says: browsers do not.
 *
 * @param {HandshakeObserver} observer
 * @param {{ message?: unknown }} event The socket's `error` event.
 * @param {string} url
 * @returns {string}
 */
export const connectFailure = ({ status, error }, { message }, url) => {
  const server = withoutSecrets(url);
  const text = typeof message === "string" ? message : "";
  // Bun and the package `ws` have the status in the text of their error.
  const refusal = status ?? /(?:status code|server response): (\d{3})\b/.exec(text)?.[1];
  if (refusal) return `${server} refused the connection with the status ${refusal}`;
  const cause = error instanceof Error ? error.message : text.replaceAll(url, server);
  // The `message` of an `AggregateError`, from a host with several addresses, is empty.
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return `${server} could not be reached${cause || code ? `: ${cause || code}` : ""}`;
};

/** A URL without user, query and fragment, which may contain a token. @param {string} url */
export const withoutSecrets = (url) => {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname === "/" ? "" : pathname}`;
};
