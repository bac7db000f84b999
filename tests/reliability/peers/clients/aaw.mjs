// The client aaw-js, with resumption.

import WebSocket from "ws";

import aaw from "../../../../aaw-js/aaw.js";

/** @type {import("../load.mjs").Connect} */
export const connect = (url, { timeout, connectTimeout, backoff }) => {
  const ws = aaw(url, { WebSocket, timeout, connectTimeout, backoff: { ...backoff, refused: 10 } });
  const counts = { resumed: 0, begun: 0 };
  ws.on("resumed", () => (counts.resumed += 1));
  ws.on("open", () => (counts.begun += 1));
  return {
    counts,
    call: (event, body) => ws.sendAsync(event, body),
    ticks: (times, every, { onTick, onGap }) => {
      ws.on("tick", onTick);
      ws.on("gap", ({ lost }) => onGap(lost));
      // If the state is lost, the call fails: the ticks that are missing say so.
      ws.sendAsync("pushes/ticks", { times, every_ms: every }, Infinity).catch(() => {});
    },
    close: () => ws.close(),
  };
};
