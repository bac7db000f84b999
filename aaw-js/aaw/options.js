// What a client can be told, and what it does if it is told nothing.

/** @typedef {import("./session.js").SessionConfig} SessionConfig */

/**
 * Times in ms, sizes in bytes. Everything may be absent.
 *
 * @typedef {object} Options
 * @property {number} [timeout] How long a call waits if it does not say. Default 3000, as with the original.
 * @property {number} [window] Items of a stream that there is room for before they are taken. More cost memory and
 *   bridge longer ways. Default 64.
 * @property {Partial<import("./backoff.js").Backoff>} [backoff] Waits before connecting again. Default
 *   `{ min: 100, max: 10000, factor: 2 }`.
 * @property {number} [reconnectInterval] The original's option: all waits have this ceiling.
 * @property {number} [heartbeat] After so much silence the server is asked whether it is there, and after as much again
 *   the connection counts as lost. Default 20000: below the 30 to 60 s after which proxies forget idle connections.
 *   `Infinity` never asks. (A server of the original cannot be asked.)
 * @property {number} [connectTimeout] For an attempt to connect, the URL's function included. Default 10000.
 * @property {number} [maxInFlight] Calls that are sent and not answered; further ones wait. Default 1024, and the limit
 *   of the server, 256 mostly.
 * @property {number} [maxMessage] One message. Default 16 MiB, and the limit of the server, 1 MiB mostly.
 * @property {number} [maxWaitingCalls] Calls that wait for a connection; a further one fails with `busy`. Default
 *   16 MiB: each has someone waiting for it, and leaves at its time-out.
 * @property {number} [maxWaitingSends] The same for `sendSync`, which throws then. Default 1 MiB: old news is worth
 *   little.
 * @property {import("./storage.js").TokenStorage} [storage] Where the session's token outlives the page:
 *   `localStorage`, or `sessionStorage`, which ends with the tab. Every script of the page can read it there. Default: in memory alone.
 * @property {string} [storageKey] Its name there. Clients of different servers need different ones, or each server is
 *   shown the other's token. Default `aaw/token`.
 * @property {import("./world.js").SocketClass} [WebSocket] What to make sockets with. Default: the global `WebSocket`.
 */

/**
 * @param {Options} options
 * @param {string | null} [token] Of a session to resume.
 * @returns {SessionConfig}
 */
export const sessionConfig = (options, token = null) => {
  const { reconnectInterval } = options;
  const steady = reconnectInterval === undefined ? {} : { min: reconnectInterval, max: reconnectInterval };
  return {
    backoff: { min: 100, max: 10_000, factor: 2, ...steady, ...options.backoff },
    heartbeat: options.heartbeat ?? 20_000,
    connectTimeout: options.connectTimeout ?? 10_000,
    closeTimeout: 2000,
    // The time-out of the original's calls, of which this is one.
    resumeTimeout: 3000,
    token,
    maxInFlight: options.maxInFlight ?? 1024,
    maxMessage: options.maxMessage ?? 16 << 20,
    maxWaitingCalls: options.maxWaitingCalls ?? 16 << 20,
    maxWaitingSends: options.maxWaitingSends ?? 1 << 20,
  };
};
