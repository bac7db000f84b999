// What a page leaves to the next page of its tab, so that the next one continues the connection.

import { MAX_TOKEN_LENGTH } from "./token_store.js";

/** @import { SavedResumption } from "./resumption.js" */
/** @import { Identity } from "./token_store.js" */

/**
 * @typedef {object} SavedState
 * @property {SavedResumption} resumption
 * @property {number} nextId The id of the next call.
 * @property {number} lastClientCall The last id that the server has used.
 * @property {string | null} token The session's token. `null`: it has none.
 * @property {boolean} isTokenStored The token was where the option `storage` keeps it. Another tab may change it there.
 * @property {Identity | null} identity
 */

/**
 * @typedef {object} SavedConnection
 * @property {number} version
 * @property {string} address Of the server: only there is the key shown.
 * @property {number} until When the server forgets the state: wall clock, in ms.
 * @property {SavedState} state
 */

/** Another version of this module may read what this one writes. */
const VERSION = 1;

/** The server and the path, without a query: that may change with each attempt, and may be secret. @param {string} url */
const addressOf = (url) => {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
};

/** @param {SavedState} state @param {string} url @param {number} until @returns {SavedConnection} */
export const saveConnection = (state, url, until) => ({ version: VERSION, address: addressOf(url), until, state });

/** Whether a connection was one to this URL. @param {SavedConnection} saved @param {string} url */
export const isOfUrl = ({ address }, url) => address === addressOf(url);

/**
 * Reads what an earlier page has left. Other scripts can write to the storage, so nothing is assumed.
 *
 * @param {string | null} text
 * @param {number} now Wall clock, in ms.
 * @returns {SavedConnection | null} `null` if it is not that, or too old.
 */
export const readConnection = (text, now) => {
  try {
    const saved = JSON.parse(text ?? "null");
    return saved?.version === VERSION && isText(saved.address) && saved.until > now && isState(saved.state) ? saved : null;
  } catch {
    return null;
  }
};

/** @param {any} state */
const isState = ({ resumption, nextId, lastClientCall, token, isTokenStored, identity }) =>
  isResumption(resumption) &&
  isCount(nextId) &&
  nextId > 0 &&
  isCount(-lastClientCall) &&
  (token === null || (isText(token) && token.length <= MAX_TOKEN_LENGTH)) &&
  typeof isTokenStored === "boolean" &&
  typeof identity === "object";

/** @param {any} resumption */
const isResumption = ({ key, attempts, received, acknowledged, sent, window, log }) =>
  isText(key) &&
  /^[0-9a-f]{32}$/.test(key) &&
  [attempts, received, acknowledged].every(isCount) &&
  Array.isArray(sent) &&
  sent.every(isText) &&
  [window, log].every((value) => typeof value === "number" && value > 0);

/** @param {unknown} value */
const isText = (value) => typeof value === "string";

/** @param {unknown} value */
const isCount = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
