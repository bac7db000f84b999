// Runs the unmodified npm client, controlled by lines of JSON.
//
//   node_modules/.bin/bun client.mjs ws://127.0.0.1:1337
//   node --experimental-websocket client.mjs ws://127.0.0.1:1337       (Node 20)
//
// in   {"tag":1,"do":"sendAsync","event":"ping","payload":{…},"timeout":500}     `payload` and `timeout` are optional
//      {"tag":2,"do":"sendSync","event":"notify","payload":{…}}
//      {"tag":3,"do":"on","event":"notified"}
// out  {"tag":1,"result":{…}} or {"tag":1,"error":{…}}        in order of completion
//      {"push":"notified","data":{…}}                         all messages with that name, responses included
//      {"state":"open"}, {"state":"close"}, {"state":"error"}
//
// One process for each connection, because the client keeps its socket in module state. The client never stops
// reconnecting, so the process exits at the end of stdin, without closing the connection. A malformed frame makes it
// exit with code 1 (in a page, the error would only be logged).
//
// Tests of reconnecting need Bun: Node 20 fires no "close" event after a failed attempt, so the client does not try
// again, and none after a closing handshake until the server has closed the TCP connection.

import { createInterface } from "node:readline";

// The only part of the DOM that the client uses: an element to dispatch events on. It is needed when the client is
// called.
globalThis.document = { createElement: () => new EventTarget() };

// The package's main module is the server, which needs Bun when it is imported.
const { default: aaw } = await import("async-await-websockets/client.js");

const print = (line) => console.log(JSON.stringify(line));

// The client throws `{ error }`. Its socket throws an Error while it is connecting, which JSON would show as `{}`.
const serializable = (error) => (error instanceof Error ? { name: error.name, message: error.message } : error);

const ws = aaw(process.argv[2]);

for (const state of ["open", "close", "error"]) ws.on(state, () => print({ state }));

const commands = {
  sendAsync: ({ event, payload, timeout }) => ws.sendAsync(event, payload, timeout),
  sendSync: ({ event, payload }) => ws.sendSync(event, payload),
  on: ({ event }) => ws.on(event, (data) => print({ push: event, data })),
};

const run = async ({ tag, do: command, ...rest }) => {
  try {
    // `null` in place of `undefined`, for which JSON would omit the key.
    print({ tag, result: (await commands[command](rest)) ?? null });
  } catch (error) {
    print({ tag, error: serializable(error) });
  }
};

createInterface({ input: process.stdin })
  .on("line", (line) => run(JSON.parse(line)))
  .on("close", () => process.exit());
