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
//
// This module only exports, so that bundlers leave out what a program does not use.

export { default } from "./aaw/aaw.js";
export { CallError } from "./aaw/call_error.js";
export { http } from "./aaw/http.js";
export { sse } from "./aaw/sse.js";
