// The events that a socket would have fired itself, for where it does not.

/**
 * Node 20 has no `CloseEvent`, and no WebSocket fires one about a connection that was given up.
 *
 * @param {number} code
 * @param {string} reason
 * @returns {CloseEvent}
 */
export const closeEvent = (code, reason) => {
  const init = { code, reason, wasClean: false };
  if (typeof CloseEvent === "function") return new CloseEvent("close", init);
  return /** @type {CloseEvent} */ (Object.assign(new Event("close"), init));
};
