// A client that connects, says so, and makes the call of each line of standard input. For tests that are in Rust.
//
//   node --experimental-websocket calls.mjs ws://127.0.0.1:1337
//
// in   ["gate/hold",{"gate":"x"}]
// out  "connected", then the response, or {"error":…}, of each call

import { createInterface } from "node:readline";

import aaw from "../../aaw-js/aaw.js";

const print = (/** @type {unknown} */ line) => console.log(JSON.stringify(line));

const ws = aaw(process.argv[2], { timeout: 20_000 });
await ws.sendAsync("ping");
print("connected");

for await (const line of createInterface({ input: process.stdin })) {
  const [event, payload] = JSON.parse(line);
  ws.sendAsync(event, payload).then(print, ({ error }) => print({ error }));
}
process.exit();
