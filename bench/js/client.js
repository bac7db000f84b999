// A client under load, on Node or Bun:
//
//   node client.js KIND URL SECONDS      KIND is aaw, aaw-ws, original or socket.io
//
// It prints a line of JSON: the calls, the seconds, and the seconds of processor time of this process.
//
// `aaw` and `original` use the platform's own WebSocket, which Node 20 has with --experimental-websocket. `socket.io` uses
// the package `ws` on Node, and `aaw-ws` uses it too. (The original's client does not work with it.)

import WebSocket from "ws";

import { connect } from "./connect.js";
import { measure } from "./load.js";

/** @type {Record<string, string>} */
const MODULES = {
  aaw: "../../aaw-js/aaw.js",
  "aaw-ws": "../../aaw-js/aaw.js",
  original: "async-await-websockets/client.js",
  "socket.io": "socket.io-client",
};

const [kind, url, seconds] = process.argv.slice(2);
// The only part of the DOM that the original uses.
if (kind === "original") globalThis.document = { createElement: () => new EventTarget() };
const call = await connect[kind](await import(MODULES[kind]), url, WebSocket);
const processorTime = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
process.stdout.write(`${JSON.stringify(await measure(call, Number(seconds), processorTime))}\n`);
process.exit();
