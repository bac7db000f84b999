// What the client asks of its surroundings: sockets, a clock, chance, and to be woken. Tests hand in their own.

/**
 * The part of a WebSocket that is used here; those of browsers, Node, Bun and the package `ws` all have it.
 *
 * @typedef {object} Socket
 * @property {string} protocol
 * @property {number} bufferedAmount
 * @property {(text: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {(type: "open" | "close" | "error" | "message", listener: (event: any) => void) => void} addEventListener
 */

/** @typedef {new (url: string, protocols: string[]) => Socket} SocketClass */

/**
 * @typedef {object} World
 * @property {() => number} now In ms, from any beginning. It never goes back.
 * @property {(callback: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} random
 * @property {(callback: () => void) => () => void} onWake Calls back when there is reason to look after the connection;
 *   what it returns ends that.
 */

/** @type {World} */
export const world = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer),
  random: Math.random,
  onWake: (callback) => {
    // Only pages know of these: a laptop that was opened, a phone back from its lock screen.
    if (typeof addEventListener !== "function" || typeof document === "undefined") return () => {};
    const onVisible = () => document.visibilityState === "visible" && callback();
    addEventListener("online", callback);
    document.addEventListener?.("visibilitychange", onVisible);
    return () => {
      removeEventListener("online", callback);
      document.removeEventListener?.("visibilitychange", onVisible);
    };
  },
};
