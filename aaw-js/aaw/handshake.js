// What Node knows about the handshake of its own WebSocket, and does not say in the events of the WebSocket: the TCP
// socket, the status and `Retry-After` of a refusal, and the error of a failed attempt. Its HTTP client, undici,
// publishes them on diagnostics channels. Elsewhere there are none, and the observer learns nothing.

/** @import { RetryHint } from "./backoff.js" */

/** @typedef {{ ref(): unknown, unref(): unknown }} RefCounted A socket that keeps the process alive, or does not. */

/** @typedef {{ subscribe(name: string, listener: (message: any) => void): void,
 *   unsubscribe(name: string, listener: (message: any) => void): void }} Channels */

/** Observes the handshake of one attempt. The attempt is identified by its client key, which no other request has. */
export class HandshakeObserver {
  /** The TCP socket. @type {RefCounted | null} */
  socket = null;
  /** The HTTP status, if it is not 101. @type {number | null} */
  status = null;
  /** What the response's `Retry-After` says, in ms. @type {number | null} */
  retryAfter = null;
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
        if (request !== this.#request) return;
        this.status = response.statusCode;
        this.retryAfter = readRetryAfter(response.headers);
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
 * The time in the header `Retry-After`: a number of seconds, or a date.
 *
 * @param {unknown[]} headers Names and values in turn, which undici has as buffers.
 */
const readRetryAfter = (headers) => {
  const name = headers.findIndex((header, i) => i % 2 === 0 && /^retry-after$/i.test(String(header)));
  if (name < 0) return null;
  const value = String(headers[name + 1]).trim();
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? null : Math.max(ms, 0);
};

/**
 * Why an attempt to connect failed, and what that says about the next one, as far as the platform tells: browsers do
 * not tell.
 *
 * @param {HandshakeObserver} observer
 * @param {{ message?: unknown }} event The socket's `error` event.
 * @param {string} url
 * @returns {{ reason: string, hint: RetryHint }}
 */
export const connectFailure = ({ status, retryAfter, error }, { message }, url) => {
  const server = withoutSecrets(url);
  const text = typeof message === "string" ? message : "";
  // Bun and the package `ws` have the status in the text of their error.
  const refusal = Number(status ?? /(?:status code|server response): (\d{3})\b/.exec(text)?.[1] ?? 0);
  if (refusal) {
    // With these the server was busy, or does not know yet whether it responds (RFC 9110, 15.5.9; RFC 8470, 5.2).
    const isTemporary = refusal === 408 || refusal === 425 || refusal >= 500;
    const hint = retryAfter ?? (isTemporary ? null : "refused");
    return { reason: `${server} refused the connection with ${refusal}`, hint };
  }
  const cause = error instanceof Error ? error.message : text.replaceAll(url, server);
  // The `message` of an `AggregateError`, from a host with several addresses, is empty.
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const problem = cause || code;
  const reason = problem ? `cannot reach ${server}: ${problem}` : `cannot reach ${server}, or it refused the connection`;
  return { reason, hint: null };
};

/** A URL without user, query and fragment, which may contain a token. @param {string} url */
export const withoutSecrets = (url) => {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname === "/" ? "" : pathname}`;
};
