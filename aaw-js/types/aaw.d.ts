export default aaw;
import { CallError } from "./aaw/call_error.js";
import { http } from "./aaw/http.js";
import { sse } from "./aaw/sse.js";
/**
 * Creates a client. It connects to the server at once, and reconnects whenever the connection is lost, until it is
 * closed.
 *
 * @param {import("./aaw/driver.js").UrlSource} [url] A URL with the scheme `ws`, `wss`, `http` or `https`, or a path on
 *   the page's host. Or a function that returns the URL or a promise of it, and is called before each attempt: for a
 *   URL that contains an expiring token, for example. Default, in a page: the page's host.
 * @param {import("./aaw/options.js").Options} [options]
 * @throws {TypeError} The URL is invalid, or it is missing outside of a page. Or there is no WebSocket class.
 */
declare function aaw(url?: import("./aaw/driver.js").UrlSource, options?: import("./aaw/options.js").Options): Client;
declare namespace aaw {
    export { http };
    export { sse };
}
import { Client } from "./aaw/client.js";
export { CallError, http, sse };
