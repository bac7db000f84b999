// The options of the client, and their defaults.

/** @import { ConnectionConfig } from "./connection.js" */

/**
 * All options are optional. Times are in ms, sizes in bytes.
 *
 * @typedef {object} Options
 * @property {number} [timeout] The timeout of calls that do not set their own. Default 3000, as in the original.
 * @property {number} [window] The credit of a stream: how many items the server may send before the first is read. A
 *   larger one costs memory, and allows more throughput over connections with a high latency. Default 64.
 * @property {Partial<import("./backoff.js").Backoff>} [backoff] The delays between attempts to connect. Default
 *   `{ min: 100, max: 10000, factor: 2 }`.
 * @property {number} [reconnectInterval] The original's option: sets `backoff.min` and `backoff.max`.
 * @property {number} [heartbeat] The idle time after which the client sends a ping; after as much again without any
 *   message, the connection counts as lost. Default 20000, because proxies drop connections that are idle for 30 to
 *   60 s. `Infinity` disables it. (Classic servers have no pings.)
 * @property {number} [connectTimeout] For an attempt to connect, including the URL function. Default 10000.
 * @property {number} [maxInFlight] Calls that are sent and have not ended; further ones wait. Default 1024. The
 *   server's limit, usually 256, applies too.
 * @property {number} [maxMessage] The size of one message. Default 16 MiB. The server's limit, usually 1 MiB, applies
 *   too.
 * @property {number} [maxWaitingCalls] The total size of the calls that wait for a connection; a further one fails with
 *   `busy`. Default 16 MiB.
 * @property {number} [maxWaitingSends] The same for `sendSync`, which then throws. Default 1 MiB: they have no timeout,
 *   and an event that is sent long after it was made is rarely of use.
 * @property {import("./persistent_token.js").TokenStorage} [storage] Where the session's token is kept beyond the
 *   page's lifetime: `localStorage`, or `sessionStorage`, which lasts until the tab is closed. Every script of the page
 *   can read the token there. Default: in memory only.
 * @property {string} [storageKey] The token's key in the storage. Clients of different servers need different keys, or
 *   each sends the other's token to its server. Default `aaw/token`.
 * @property {import("./platform.js").SocketClass} [WebSocket] The WebSocket class. Default: the global `WebSocket`.
 */

/**
 * @param {Options} options
 * @param {string | null} [token] The token of a session to resume.
 * @returns {ConnectionConfig}
 */
export const connectionConfig = (options, token = null) => {
  const { reconnectInterval } = options;
  const fixed = reconnectInterval === undefined ? {} : { min: reconnectInterval, max: reconnectInterval };
  return {
    backoff: { min: 100, max: 10_000, factor: 2, ...fixed, ...options.backoff },
    heartbeat: options.heartbeat ?? 20_000,
    connectTimeout: options.connectTimeout ?? 10_000,
    closeTimeout: 2000,
    // The default timeout of calls, of which this is one.
    resumeTimeout: 3000,
    token,
    maxInFlight: options.maxInFlight ?? 1024,
    maxMessage: options.maxMessage ?? 16 << 20,
    maxWaitingCalls: options.maxWaitingCalls ?? 16 << 20,
    maxWaitingSends: options.maxWaitingSends ?? 1 << 20,
  };
};
