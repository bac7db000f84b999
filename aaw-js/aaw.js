// The client of aaw, for browsers, Node and Bun.
//
//   import aaw from "/aaw.js";
//
//   const ws = aaw();
//   const user = await ws.sendAsync("users/get", { id: 1 });
//   for await (const user of ws.stream("users/all")) console.log(user);
//
// What is behind it: aaw/client.js is the handle, aaw/driver.js owns the socket, aaw/session.js decides.

import { Client } from "./aaw/client.js";
import { CallError } from "./aaw/failure.js";
import { http } from "./aaw/http.js";
import { sse } from "./aaw/sse.js";
import { world } from "./aaw/world.js";

export { CallError, http, sse };

/**
 * Connects to a server, and again whenever the connection is lost, until it is closed.
 *
 * @param {import("./aaw/driver.js").Where} [url] `ws://…` or `wss://…`; `http` and paths of the page's host will do,
 *   too. Or a function that says it, now or later, and is asked before each attempt: for a token that expires, say.
 *   Default in a page: the host that it is from.
 * @param {import("./aaw/options.js").Options} [options]
 * @throws {TypeError} The URL is none.
 */
const aaw = (url, options) => new Client(url, options ?? {}, world);

aaw.http = http;
aaw.sse = sse;

export default aaw;
