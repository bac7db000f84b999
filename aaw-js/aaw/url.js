// The server's URL.

/**
 * Resolves the URL for a WebSocket. `http:` and `https:` URLs are converted. In a page, relative URLs are resolved
 * against the page, and the default is the page's host.
 *
 * @param {string | URL | undefined} url
 * @returns {string}
 * @throws {TypeError} The URL is invalid, its scheme is none of `ws:`, `wss:`, `http:` and `https:`, or it is missing
 *   outside of a page.
 */
export const socketUrl = (url) => resolve(url, { "http:": "ws:", "https:": "wss:" });

/**
 * Resolves the base URL for HTTP requests, without a trailing slash, by the same rules; `ws:` and `wss:` URLs are
 * converted.
 *
 * @param {string | URL | undefined} url
 * @returns {string}
 * @throws {TypeError}
 */
export const httpUrl = (url) => resolve(url, { "ws:": "http:", "wss:": "https:" }).replace(/\/+$/, "");

/**
 * @param {string | URL | undefined} url
 * @param {Record<string, string>} schemes The accepted schemes: each key is converted to its value.
 */
const resolve = (url, schemes) => {
  const page = typeof location === "undefined" ? undefined : location.href;
  if (url === undefined && page === undefined)
    throw new TypeError("aaw: outside of a page the server's URL is required");
  const absolute = url === undefined ? new URL("/", page) : new URL(url, page);
  const scheme = schemes[absolute.protocol] ?? absolute.protocol;
  if (!Object.values(schemes).includes(scheme)) {
    throw new TypeError(`aaw: expected a URL with the scheme ws:, wss:, http: or https:, got ${absolute.href}`);
  }
  // Cut from the text instead of setting `protocol`, because WebSockets do not accept a fragment either.
  const rest = absolute.href.slice(absolute.protocol.length);
  return scheme + (absolute.hash ? rest.slice(0, -absolute.hash.length) : rest);
};
