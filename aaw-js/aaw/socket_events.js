// The events that a socket would have fired itself, for where it does not.

/**
 * No WebSocket fires one about a connection that was given up, and Node 20 has no `CloseEvent` to make one with.
 *
 * @param {number} code
 * @param {string} reason
 * @returns {CloseEvent}
 */
export const closeEvent = (code, reason, wasClean = false) => {
  const init = { code, reason, wasClean };
  if (typeof CloseEvent === "function") return new CloseEvent("close", init);
  return /** @type {CloseEvent} */ (Object.assign(new Event("close"), init));
};
