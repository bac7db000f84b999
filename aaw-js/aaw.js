// The aaw client for browsers, Node and Bun.
//
//   import aaw from "aaw-js"; // in a page that an aaw server serves: from "/aaw.js"
//
//   const ws = aaw();
//   const user = await ws.sendAsync("users/get", { id: 1 });
//   for await (const user of ws.stream("users/all")) console.log(user);
//
// Structure: aaw/client.js is the public interface, aaw/driver.js owns the socket and the timer, and aaw/connection.js
// is the protocol as a pure state machine.

import { CallError } from "./aaw/call_error.js";
import { Client } from "./aaw/client.js";
import { http } from "./aaw/http.js";
import { platform } from "./aaw/platform.js";
import { sse } from "./aaw/sse.js";

/** @import { UrlSource } from "./aaw/driver.js" */
/** @import { Options } from "./aaw/options.js" */

export { CallError, http, sse };

/**
 * Creates a client. It connects to the server at once, and reconnects whenever the connection is lost, until it is
 * closed.
 *
 * @param {UrlSource} [url] A URL with the scheme `ws`, `wss`, `http` or `https`, or a path on the page's host. Or a
 *   function that returns the URL or a promise of it, and is called before each attempt: for a URL that contains an
 *   expiring token, for example. Default, in a page: the page's host.
 * @param {Options} [options]
 * @throws {TypeError} The URL is invalid, or it is missing outside of a page. Or there is no WebSocket class.
 */
const aaw = (url, options) => new Client(url, options ?? {}, platform);

// For `require`, which returns this function.
aaw.CallError = CallError;
aaw.http = http;
aaw.sse = sse;

export default aaw;
