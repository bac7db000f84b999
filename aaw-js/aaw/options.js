// The options of the client, and their defaults.

import { duration, finiteDuration, flag, integer, invalid, limit, object, optionalFunction, secret, text } from "./check.js";
import { MAX_TOKEN_LENGTH } from "./token_store.js";

/** @import { ConnectionConfig } from "./connection.js" */

/**
 * All options are optional; `undefined` and `null` select the default. Times are positive numbers of ms, limits are
 * positive integers, sizes are in bytes. `Infinity` is accepted where its meaning is stated, and for all limits. A
 * value of another type is a `TypeError`, also a numeric string, 0 and `false`.
 *
 * @typedef {object} Options
 * @property {number} [timeout] The timeout of calls that do not set their own. `Infinity`: none. Default 3000, as in
 *   the original.
 * @property {number} [window] The credit of a stream: how many items the server may send before the first is read. A
 *   larger one costs memory, and allows more throughput over connections with a high latency. From 1 to 2147483647, default 64.
 * @property {Partial<import("./backoff.js").Backoff>} [backoff] The delays between attempts to connect. `min` and `max`
 *   are finite, and the factor is at least 1. `refused` applies where it is known that the server has refused the
 *   client: Node, Bun and the package `ws` tell the status of a handshake, browsers do not. Default
 *   `{ min: 100, max: 10000, factor: 2, refused: 30000 }`.
 * @property {number} [reconnectInterval] The original's option: sets `backoff.min` and `backoff.max`.
 * @property {number} [heartbeat] The idle time after which the client sends a ping; after as much again without any
 *   message, the connection counts as lost. Default 20000, because proxies drop connections that are idle for 30 to
 *   60 s. `Infinity` disables it. (Classic servers have no pings.)
 * @property {number} [connectTimeout] For an attempt to connect, including the URL function. `Infinity`: the platform's
 *   own. Default 10000.
 * @property {number} [maxInFlight] Calls that are sent and have not ended; further ones wait. Default 1024. The
 *   server's limit, usually 256, applies too.
 * @property {number} [maxMessage] The size of one message. Default 16 MiB. The server's limit, usually 1 MiB, applies
 *   too.
 * @property {number} [maxWaitingCalls] The total size of the calls that wait for a connection; a further one fails with
 *   `busy`. Default 16 MiB.
 * @property {number} [maxWaitingSends] The same for `sendSync`, which then throws. Default 1 MiB: they have no timeout,
 *   and an event that is sent long after it was made is rarely of use.
 * @property {boolean | ResumptionOptions} [resumption] Whether the connection continues when its socket breaks, if the server
 *   supports it: calls, streams and pushes go on over the next socket. Otherwise calls that were sent fail with
 *   `outcome_unknown`. An object is `true`, with options. Default `true`.
 * @property {boolean} [bigint] Whether integers beyond 2^53 that the server sends become `BigInt`s. Otherwise they are
 *   numbers, and lose their last digits. `BigInt`s that are sent become integers either way. Default `false`.
 * @property {string | null} [token] The token of a session to resume, which the application has stored itself, as in
 *   the original. It takes precedence over `storage`. At most 1024 characters; an empty one is none.
 * @property {import("./persistent_token.js").TokenStorage | null} [storage] Where the session's token is kept beyond the
 *   page's lifetime: `localStorage`, or `sessionStorage`, which lasts until the tab is closed. Every script of the page
 *   can read the token there. Default: in memory only.
 * @property {string} [storageKey] The token's key in the storage. Clients of different servers need different keys, or
 *   each sends the other's token to its server. Default `aaw/token`.
 * @property {import("./platform.js").SocketClass} [WebSocket] The WebSocket class. Default: the global `WebSocket`.
 */

/**
 * The options of resumption.
 *
 * @typedef {object} ResumptionOptions
 * @property {boolean} [afterReload] Whether the connection also continues when the page is loaded again, or another page of
 *   its origin is loaded in its tab. From `pagehide` until a page of the tab creates a client with this option, the state is in
 *   `sessionStorage`: a secret key, the messages that the server has not acknowledged, the user's identity, and the session's
 *   token. A client that is closed before it has connected leaves it there for the next
 *   client. The server cannot know whether a page is closed or loaded again: it keeps the connection in its rooms for its window
 *   (60 s by default) either way. Outside of pages it does nothing. Default `false`.
 * @property {string} [storageKey] The key of the state in `sessionStorage`. Clients of the same page need different keys: only
 *   the first one with a key continues. Default `aaw/resumption`.
 */

/**
 * The options after they were checked, with their defaults.
 *
 * @typedef {object} CheckedOptions
 * @property {number} timeout
 * @property {number} window
 * @property {import("./persistent_token.js").TokenStorage | undefined} storage
 * @property {string} storageKey
 * @property {import("./platform.js").SocketClass | undefined} WebSocket
 * @property {string | null} reloadKey Where the connection is stored for the next page; `null`: nowhere.
 * @property {ConnectionConfig} connection Its token is that of the option.
 */

/** Credit is sent as an integer, and the total of a long stream must stay exact. */
const MAX_WINDOW = 2 ** 31 - 1;

/**
 * @param {Options | null | undefined} given
 * @returns {CheckedOptions}
 * @throws {TypeError} An option is invalid. The message names it.
 */
export const readOptions = (given) => {
  const options = object("the options of a client", given);
  const resumption = resumptionOptions(options.resumption);
  return {
    timeout: duration("the option `timeout`", options.timeout, 3000),
    window: integer("the option `window`", options.window, 64, MAX_WINDOW),
    storage: tokenStorage(options.storage),
    storageKey: text("the option `storageKey`", options.storageKey, "aaw/token"),
    WebSocket: optionalFunction("the option `WebSocket`", options.WebSocket),
    reloadKey: resumption && resumption.afterReload ? resumption.storageKey : null,
    connection: {
      backoff: backoff(options),
      heartbeat: duration("the option `heartbeat`", options.heartbeat, 20_000, "to disable it"),
      connectTimeout: duration("the option `connectTimeout`", options.connectTimeout, 10_000),
      closeTimeout: 2000,
      // The default timeout of calls, of which this is one.
      resumeTimeout: 3000,
      token: secret("the option `token`", options.token, MAX_TOKEN_LENGTH),
      bigint: flag("the option `bigint`", options.bigint),
      resumption: resumption !== false,
      maxInFlight: limit("the option `maxInFlight`", options.maxInFlight, 1024),
      maxMessage: limit("the option `maxMessage`", options.maxMessage, 16 << 20),
      maxWaitingCalls: limit("the option `maxWaitingCalls`", options.maxWaitingCalls, 16 << 20),
      maxWaitingSends: limit("the option `maxWaitingSends`", options.maxWaitingSends, 1 << 20),
    },
  };
};

/** @param {Options["resumption"]} given @returns {false | Required<ResumptionOptions>} `false`: connections are not resumed. */
const resumptionOptions = (given) => {
  if (given === false) return false;
  const options = given === true ? {} : object("the option `resumption`", given, "true, false or an object");
  return {
    afterReload: flag("the option `resumption.afterReload`", options.afterReload),
    storageKey: text("the option `resumption.storageKey`", options.storageKey, "aaw/resumption"),
  };
};

/** @param {Partial<Options>} options @returns {import("./backoff.js").Backoff} */
const backoff = (options) => {
  const interval = finiteDuration("the option `reconnectInterval`", options.reconnectInterval, 0);
  const given = object("the option `backoff`", options.backoff);
  const min = finiteDuration("the option `backoff.min`", given.min, interval || 100);
  // A longer first delay raises the default of the longest.
  const max = finiteDuration("the option `backoff.max`", given.max, Math.max(interval || 10_000, given.min ?? 0));
  const { factor } = given;
  if (factor !== undefined && factor !== null && !(typeof factor === "number" && factor >= 1 && factor < Infinity)) {
    throw invalid("the option `backoff.factor`", "a finite number of at least 1", factor);
  }
  // Only if both are given: a low `max` lowers the default of `min`.
  if (given.min !== undefined && min > max) {
    throw new TypeError(`aaw: the option \`backoff.min\` (${min}) must not exceed \`backoff.max\` (${max})`);
  }
  const refused = duration("the option `backoff.refused`", given.refused, 30_000, "for no further attempt");
  return { min: Math.min(min, max), max, factor: factor ?? 2, refused };
};

/** @param {unknown} storage @returns {import("./persistent_token.js").TokenStorage | undefined} */
const tokenStorage = (storage) => {
  if (storage === undefined || storage === null) return undefined;
  const methods = /** @type {Record<string, unknown>} */ (storage);
  if (["getItem", "setItem", "removeItem"].every((name) => typeof methods[name] === "function")) {
    return /** @type {import("./persistent_token.js").TokenStorage} */ (storage);
  }
  throw invalid("the option `storage`", "an object with getItem, setItem and removeItem, as localStorage is", storage);
};
