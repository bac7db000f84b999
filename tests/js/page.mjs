// A page written for async-await-websockets 3.0.6: nothing here is known to our client alone.
//
//   bun page.mjs MODULE URL          (or node --experimental-websocket)
//
// MODULE is the client. Prints what happens, a line of JSON each; `page.test.mjs` runs it with both clients.

// All that the original asks of a page.
globalThis.document ??= { createElement: () => new EventTarget() };

const { default: aaw } = await import(process.argv[2]);
const ws = aaw(process.argv[3], { reconnectInterval: 50 });

// As pages do.
const { sendSync, sendAsync } = ws;

const print = (...what) => console.log(JSON.stringify(what));
const heard = (event) => new Promise((resolve) => ws.on(event, resolve));

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
  // One after the other: the original takes the answer of one for that of another.
  for (const n of [1, 2, 3]) await attempt("echo", { n });

  const notified = heard("notified");
  sendSync("notify", { hi: 1 });
  print("notified", await notified);

  // An event that answers, without waiting for it: its listeners hear the answer.
  const pong = heard("ping");
  sendSync("ping");
  print("ping", await pong);

  // Listeners hear answers, too.
  ws.on("echo", (data) => print("echo", data));
  await attempt("echo", { heard: true });
  ws.off("echo");
  await attempt("echo", { heard: false });

  // A plain event answers nothing: its listeners hear what it pushes under its name, and no more.
  ws.on("notify", (data) => print("notify", data));
  const again = heard("notified");
  sendSync.bind(undefined, "notify", { hi: 2 })();
  print("notified", await again);
  await attempt("ping");

  print("done");
  process.exit();
});
