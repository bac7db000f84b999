// Listening to an `AbortSignal` without leaving listeners behind.

/**
 * Calls `callback` once when the signal is aborted, or immediately if it is aborted already.
 *
 * @param {AbortSignal | undefined} signal
 * @param {(reason: unknown) => void} callback
 * @returns {() => void} Removes the listener. A signal may live as long as the page, so a finished call must remove its
 *   listener, or the signal keeps it in memory.
 */
export const onAbort = (signal, callback) => {
  if (!signal) return () => {};
  const listener = () => callback(signal.reason);
  if (signal.aborted) listener();
  else signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
};
