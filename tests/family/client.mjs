// The npm client, unchanged, driven by JSON lines.
//
//   node_modules/.bin/bun client.mjs ws://127.0.0.1:1337
//   node --experimental-websocket client.mjs ws://127.0.0.1:1337       (Node 20)
//
// in   {"tag":1,"do":"sendAsync","event":"ping","payload":{…},"timeout":500}     the last two may be absent
//      {"tag":2,"do":"sendSync","event":"notify","payload":{…}}
//      {"tag":3,"do":"on","event":"notified"}
// out  {"tag":1,"result":{…}} or {"tag":1,"error":{…}}        in the order in which they are done
//      {"push":"notified","data":{…}}                         whatever arrives under that name, answers too
//      {"state":"open"}, {"state":"close"}, {"state":"error"}
//
// One process a connection: the client keeps its socket in module state. It never gives up reconnecting,
// so the end of stdin ends the process at once, with whatever is still open. A frame that it cannot take
// apart ends the process with 1 (in a page it would only be logged).
//
// What has to do with reconnecting wants Bun: Node 20 fires no "close" after an attempt that failed, so the
// client does not try again, and none after a closing handshake until the server has closed TCP as well.

import { createInterface } from "node:readline";

// All that it asks of a page is an element to dispatch events on. By the time it is called, not imported.
globalThis.document = { createElement: () => new EventTarget() };

// By its file: the package's main is the server, which needs Bun as soon as it is imported.
const { default: aaw } = await import("async-await-websockets/client.js");

const print = (line) => console.log(JSON.stringify(line));

// The client throws `{ error }`; its socket throws Errors (still connecting), which JSON would show as `{}`.
const thrown = (error) => (error instanceof Error ? { name: error.name, message: error.message } : error);

const ws = aaw(process.argv[2]);

for (const state of ["open", "close", "error"]) ws.on(state, () => print({ state }));

const commands = {
  sendAsync: ({ event, payload, timeout }) => ws.sendAsync(event, payload, timeout),
  sendSync: ({ event, payload }) => ws.sendSync(event, payload),
  on: ({ event }) => ws.on(event, (data) => print({ push: event, data })),
};

const run = async ({ tag, do: command, ...rest }) => {
  try {
    // `null` where there is no result, or JSON would drop the key.
    print({ tag, result: (await commands[command](rest)) ?? null });
  } catch (error) {
    print({ tag, error: thrown(error) });
  }
};

createInterface({ input: process.stdin })
  .on("line", (line) => run(JSON.parse(line)))
  .on("close", () => process.exit());
