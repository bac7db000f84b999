// What the client uses of its environment: sockets, clocks, timers, randomness, and the events and storage of a page. Tests
// replace it.

/**
 * The part of the WebSocket API that the client uses. Browsers, Node, Bun and the package `ws` all provide it.
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
 * @typedef {object} Platform
 * @property {() => number} now A monotonic clock in ms, with any origin.
 * @property {(callback: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} random Returns a number in [0, 1).
 * @property {(callback: () => void) => () => void} onWake Calls back when the connection should be checked at once: the
 *   network is back, or the page is visible again. Returns a function that removes the callback.
 * @property {(onHide: () => void, onShow: () => void) => () => void} onPageChange Calls back when the page is left: it is loaded
 *   again, or closed, or another one is loaded in its tab; and when it comes back from there as it was. Returns a function
 *   that removes the callbacks.
 * @property {() => import("./persistent_token.js").TokenStorage} sessionStorage The storage of the page's tab. Throws if there
 *   is none.
 * @property {() => number} wallClock The time in ms, by a clock that all pages share.
 */

/** @type {Platform} */
export const platform = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer),
  random: Math.random,
  onWake: (callback) => {
    // These events exist in pages only. They fire when a laptop is opened or a phone unlocked, for example.
    if (typeof addEventListener !== "function" || typeof document === "undefined") return () => {};
    const onVisible = () => document.visibilityState === "visible" && callback();
    addEventListener("online", callback);
    document.addEventListener?.("visibilitychange", onVisible);
    // A frozen page that thaws is not always visible.
    document.addEventListener?.("resume", callback);
    return () => {
      removeEventListener("online", callback);
      document.removeEventListener?.("visibilitychange", onVisible);
      document.removeEventListener?.("resume", callback);
    };
  },
  onPageChange: (onHide, onShow) => {
    if (typeof addEventListener !== "function" || typeof document === "undefined") return () => {};
    // The first `pageshow` of a page is that of its load.
    const onPageShow = (/** @type {PageTransitionEvent} */ { persisted }) => persisted && onShow();
    addEventListener("pagehide", onHide);
    addEventListener("pageshow", onPageShow);
    return () => {
      removeEventListener("pagehide", onHide);
      removeEventListener("pageshow", onPageShow);
    };
  },
  sessionStorage: () => sessionStorage,
  wallClock: () => Date.now(),
};
