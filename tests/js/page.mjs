// A page for async-await-websockets 3.0.6. It uses nothing that only the aaw client has.
//
//   bun page.mjs MODULE URL          (or node --experimental-websocket)
//
// MODULE is the client. The page prints each event as a line of JSON; `page.test.mjs` runs it with both clients.

// The only part of the DOM that the original uses.
globalThis.document ??= { createElement: () => new EventTarget() };

const { default: aaw } = await import(process.argv[2]);
const ws = aaw(process.argv[3], { reconnectInterval: 50 });

// Pages destructure the client.
const { sendSync, sendAsync } = ws;

const print = (...what) => console.log(JSON.stringify(what));
const nextEvent = (event) => new Promise((resolve) => ws.on(event, resolve));

const attempt = async (...call) => {
  try {
    print("resolved", await sendAsync(...call));
  } catch ({ error }) {
    print("rejected", error);
  }
};

ws.on("open", ({ type }) => print(type));
ws.on("close", ({ type, code }) => print(type, code));
ws.on("error", ({ type }) => print(type));

ws.on("open", async () => {
  await attempt("ping");
  await attempt("echo", { text: "ü", nothing: null, list: [1, 2.5, "x"] });
  await attempt("echo", [1, 2, 3]);
  await attempt("echo");
  await attempt("explode");
  await attempt("slow", { ms: 5000 }, 30);
  await attempt("sub/nested", { a: 1 });
  // Sequentially, because the original mixes up the responses of concurrent calls.
  for (const n of [1, 2, 3]) await attempt("echo", { n });

  const notified = nextEvent("notified");
  sendSync("notify", { hi: 1 });
  print("notified", await notified);

  // `sendSync` of a unary event: its listeners receive the response.
  const pong = nextEvent("ping");
  sendSync("ping");
  print("ping", await pong);

  // Listeners also receive the responses to calls.
  ws.on("echo", (data) => print("echo", data));
  await attempt("echo", { hasListener: true });
  ws.off("echo");
  await attempt("echo", { hasListener: false });

  // A one-way event has no response: its listeners receive only pushes of the same name.
  ws.on("notify", (data) => print("notify", data));
  const secondNotified = nextEvent("notified");
  sendSync.bind(undefined, "notify", { hi: 2 })();
  print("notified", await secondNotified);
  await attempt("ping");

  print("done");
  process.exit();
});
