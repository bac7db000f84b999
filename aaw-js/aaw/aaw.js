// The function that creates clients.

import { CallError } from "./call_error.js";
import { Client } from "./client.js";
import { http } from "./http.js";
import { platform } from "./platform.js";
import { sse } from "./sse.js";

/** @import { UrlSource } from "./driver.js" */
/** @import { Options } from "./options.js" */

/**
 * Creates a client. It connects to the server at once, and reconnects whenever the connection is lost, until it is
 * closed.
 *
 * @param {UrlSource} [url] A URL with the scheme `ws`, `wss`, `http` or `https`, or a path on the page's host. Or a
 *   function that returns the URL or a promise of it, and is called before each attempt: to choose among several
 *   servers, for example. Handlers do not see the URL. Default, in a page: the page's host.
 * @param {Options} [options]
 * @throws {TypeError} The URL or an option is invalid, or the URL is missing outside of a page. Or there is no
 *   WebSocket class.
 */
const aaw = (url, options) => new Client(url, options, platform);

// For `require`, which returns this function.
aaw.CallError = CallError;
aaw.http = http;
aaw.sse = sse;

export default aaw;
