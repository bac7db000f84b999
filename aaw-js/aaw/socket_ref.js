// The TCP socket of a WebSocket, which decides whether a Node process keeps running.

/** @import { HandshakeObserver, RefCounted } from "./handshake.js" */
/** @import { Socket } from "./platform.js" */

/**
 * Call this when the WebSocket is created, and the result when it is open.
 *
 * @param {Socket} socket
 * @param {HandshakeObserver} observer
 * @returns {() => RefCounted | null} `null` if the platform gives no access to it.
 */
export const requestSocket = (socket, observer) => {
  if (isRefCounted(socket)) return () => socket;
  /** @type {unknown} */
  let upgraded = null;
  // The package `ws`: its event with the response to the handshake.
  const { on } = /** @type {{ on?: (type: "upgrade", listener: (response: any) => void) => void }} */ (socket);
  if (typeof on === "function") on.call(socket, "upgrade", (response) => (upgraded = response?.socket));
  return () => {
    const found = upgraded ?? observer.socket;
    return isRefCounted(found) ? found : null;
  };
};

/** @param {unknown} value @returns {value is RefCounted} */
const isRefCounted = (value) =>
  typeof value === "object" &&
  value !== null &&
  "ref" in value &&
  typeof value.ref === "function" &&
  "unref" in value &&
  typeof value.unref === "function";
