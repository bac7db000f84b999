// `CloseEvent`s that no socket fired.

/**
 * Makes the event for a connection that the client dropped itself, for which the WebSocket fires none in time. Node 20
 * has no `CloseEvent` class, so there it is an `Event` with the same properties.
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
