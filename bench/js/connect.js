// One connection of each client: a function that calls `echo`. The client's module is a parameter, because pages have
// other paths than programs.

/** @typedef {(slot: number, body: object) => Promise<any>} Call */

/** @param {any} module @param {string} url @param {object} [options] @returns {Promise<Call>} */
const connectAaw = async ({ default: aaw }, url, options) => {
  const ws = aaw(url, options);
  await new Promise((resolve) => ws.on("open", resolve));
  return (_, body) => ws.sendAsync("echo", body);
};

/** @type {Record<string, (module: any, url: string, WebSocket?: any) => Promise<Call>>} */
export const connect = {
  aaw: (module, url) => connectAaw(module, url),

  "aaw-ws": (module, url, WebSocket) => connectAaw(module, url, { WebSocket }),

  // The package resolves all calls of an event with the first response to one of them. So each slot has an event of its
  // own, or it would have the responses of other slots.
  original: async ({ default: aaw }, url) => {
    const ws = aaw(url);
    await new Promise((resolve) => ws.on("open", resolve));
    return (slot, body) => ws.sendAsync(`echo/${slot}`, body);
  },

  // Without the option `ackTimeout`: by default, calls have no timeout.
  "socket.io": async ({ io }, url) => {
    const socket = io(url.replace(/^ws:/, "http:"), { transports: ["websocket"] });
    await new Promise((resolve) => socket.on("connect", resolve));
    return (_, body) => socket.emitWithAck("echo", body);
  },
};
