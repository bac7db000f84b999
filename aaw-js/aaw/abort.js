// Signals that end what they were given to.

/**
 * Calls back once when the signal is aborted, at once if it is already.
 *
 * @param {AbortSignal | undefined} signal
 * @param {(reason: unknown) => void} callback
 * @returns {() => void} Ends that. A signal may live as long as the page, so what is over should not hang on it.
 */
export const onAbort = (signal, callback) => {
  if (!signal) return () => {};
  const listener = () => callback(signal.reason);
  if (signal.aborted) listener();
  else signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
};
