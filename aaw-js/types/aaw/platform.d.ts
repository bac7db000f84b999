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
 */
/** @type {Platform} */
export const platform: Platform;
/**
 * The part of the WebSocket API that the client uses. Browsers, Node, Bun and the package `ws` all provide it.
 */
export type Socket = {
    protocol: string;
    bufferedAmount: number;
    send: (text: string) => void;
    close: (code?: number, reason?: string) => void;
    addEventListener: (type: "open" | "close" | "error" | "message", listener: (event: any) => void) => void;
};
export type SocketClass = new (url: string, protocols: string[]) => Socket;
export type Platform = {
    /**
     * A monotonic clock in ms, with any origin.
     */
    now: () => number;
    setTimeout: (callback: () => void, ms: number) => unknown;
    clearTimeout: (timer: any) => void;
    /**
     * Returns a number in [0, 1).
     */
    random: () => number;
    /**
     * Calls back when the connection should be checked at once: the
     * network is back, or the page is visible again. Returns a function that removes the callback.
     */
    onWake: (callback: () => void) => () => void;
};
