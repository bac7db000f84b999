// The client of Socket.IO. A call is an event with an acknowledgement, and a timeout.

import { io } from "socket.io-client";

/**
 * @param {string} url
 * @param {import("../load.mjs").Timing} timing
 * @param {object} options
 */
export const connectWith = (url, { client, connectTimeout, backoff }, options) => {
  const socket = io(url, {
    transports: ["websocket"],
    // A connection for each client of this process.
    forceNew: true,
    auth: { client },
    reconnectionDelay: backoff.min,
    reconnectionDelayMax: backoff.max,
    timeout: connectTimeout,
    ...options,
  });
  const counts = { resumed: 0, begun: 0 };
  socket.on("connect", () => (counts[socket.recovered ? "resumed" : "begun"] += 1));
  return {
    socket,
    counts,
    call: (/** @type {string} */ event, /** @type {object} */ body) => socket.emitWithAck(event, body),
    /** The server pushes to the room of this client, from the first request on. @type {import("../load.mjs").Connection["ticks"]} */
    ticks: (times, every, { onTick }) => {
      socket.on("tick", onTick);
      socket.on("connect", () => socket.emit("pushes/ticks", { client, times, every }));
    },
    close: () => void socket.disconnect(),
  };
};

/** @type {import("../load.mjs").Connect} */
export const connect = (url, timing) => {
  const connection = connectWith(url, timing, {});
  const call = (/** @type {string} */ event, /** @type {object} */ body) =>
    connection.socket.timeout(timing.timeout).emitWithAck(event, body);
  return { ...connection, call };
};
