// The server's URL.

import { invalid } from "./check.js";

/**
 * Resolves the URL for a WebSocket. `http:` and `https:` URLs are converted. In a page, relative URLs are resolved
 * against the page, and the default is the page's host.
 *
 * @param {string | URL | null | undefined} url
 * @returns {string}
 * @throws {TypeError} The URL is invalid, its scheme is none of `ws:`, `wss:`, `http:` and `https:`, or it is missing
 *   outside of a page.
 */
export const socketUrl = (url) => resolve(url, { "http:": "ws:", "https:": "wss:" });

/**
 * Resolves the base URL for HTTP requests, without a trailing slash, by the same rules; `ws:` and `wss:` URLs are
 * converted.
 *
 * @param {string | URL | null | undefined} url
 * @returns {string}
 * @throws {TypeError} As `socketUrl` does. Or the URL has a query.
 */
export const httpUrl = (url) => {
  const absolute = resolve(url, { "ws:": "http:", "wss:": "https:" });
  // The path of the event is appended.
  if (absolute.includes("?")) throw new TypeError("aaw: the URL for calls over HTTP must have no query");
  return absolute.replace(/\/+$/, "");
};

/**
 * @param {unknown} url
 * @param {string | undefined} base
 * @throws {TypeError}
 */
const parse = (url, base) => {
  const text = url instanceof URL ? url.href : url;
  // An empty text is a valid reference, to the page itself. It is more likely a setting that is missing.
  if (typeof text !== "string" || text.trim() === "") throw invalid("the URL", "a string or a URL", url);
  try {
    return new URL(text, base);
  } catch {
    // The text may contain a token.
    throw new TypeError("aaw: the URL is invalid; expected one like ws://localhost:1337");
  }
};

/**
 * @param {string | URL | null | undefined} url
 * @param {Record<string, string>} schemes The accepted schemes: each key is converted to its value.
 */
const resolve = (url, schemes) => {
  const page = typeof location === "undefined" ? undefined : location.href;
  const isMissing = url === undefined || url === null;
  if (isMissing && page === undefined) throw new TypeError("aaw: outside of a page the server's URL is required");
  const absolute = isMissing ? new URL("/", page) : parse(url, page);
  const scheme = schemes[absolute.protocol] ?? absolute.protocol;
  if (!Object.values(schemes).includes(scheme)) {
    throw new TypeError(`aaw: expected a URL with the scheme ws:, wss:, http: or https:, got ${absolute.protocol}`);
  }
  // Cut from the text instead of setting `protocol`, because WebSockets do not accept a fragment either.
  const rest = absolute.href.slice(absolute.protocol.length);
  return scheme + (absolute.hash ? rest.slice(0, -absolute.hash.length) : rest);
};
