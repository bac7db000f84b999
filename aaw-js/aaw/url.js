// Where the server is.

/**
 * The URL to open a WebSocket at. Without one, in a page: the host that the page is from. `http` and paths of the
 * page's host will do, too.
 *
 * @param {string | URL | undefined} url
 * @returns {string}
 * @throws {TypeError}
 */
export const socketUrl = (url) => resolve(url, { "http:": "ws:", "https:": "wss:" });

/**
 * The URL that the paths of HTTP are below, without a slash at its end; by the same rules.
 *
 * @param {string | URL | undefined} url
 * @returns {string}
 * @throws {TypeError}
 */
export const httpUrl = (url) => resolve(url, { "ws:": "http:", "wss:": "https:" }).replace(/\/+$/, "");

/**
 * @param {string | URL | undefined} url
 * @param {Record<string, string>} schemes What is turned into what.
 */
const resolve = (url, schemes) => {
  const page = typeof location === "undefined" ? undefined : location.href;
  if (url === undefined && page === undefined) throw new TypeError("aaw: outside of a page it needs the server's URL");
  const absolute = url === undefined ? new URL("/", page) : new URL(url, page);
  const scheme = schemes[absolute.protocol] ?? absolute.protocol;
  if (!Object.values(schemes).includes(scheme)) {
    throw new TypeError(`aaw: ${absolute.href} is not the URL of a server (ws:, wss:, http: or https:)`);
  }
  // The setter of `protocol` exists, but a fragment has to go as well: WebSockets refuse it.
  const rest = absolute.href.slice(absolute.protocol.length);
  return scheme + (absolute.hash ? rest.slice(0, -absolute.hash.length) : rest);
};
