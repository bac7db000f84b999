// The same program with `require`, which returns the function.

const aaw = require("aaw-js");
const { CallError, http, sse } = require("aaw-js");

const main = async () => {
  const url = process.env.AAW_URL;
  const ws = aaw(url, { timeout: 30_000 });
  const pong = await ws.sendAsync("ping");
  const items = [];
  for await (const n of ws.stream("count", { to: 3 })) items.push(n);
  const error = await ws.sendAsync("explode").catch((error) => error);
  const overHttp = await http(url).sendAsync("echo", { text: "ü" });
  const response = await fetch(`${url.replace("ws", "http")}/events/count`, {
    method: "POST",
    headers: { accept: "text/event-stream" },
    body: `{"to": 1}`,
  });
  const events = [];
  for await (const { event } of sse(response)) events.push(event);
  await ws.close();
  const isCallError = error instanceof CallError && aaw.default === aaw;
  console.log(JSON.stringify({ pong, items, isCallError, code: error.code, overHttp, events, state: ws.state }));
};

void main();
