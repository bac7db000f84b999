// The bodies of the calls of `counter/add`, as `CallBody` of `src/calls.rs` makes similar ones.

/** A generator of random integers below a limit, for one call. */
const randomOf = (/** @type {number} */ seed, /** @type {number} */ id) => {
  let state = (seed ^ Math.imul(id % 2 ** 32, 0x9e3779b1) ^ Math.floor(id / 2 ** 32)) >>> 0;
  return (/** @type {number} */ end) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
  };
};

/** The id of a client's call. */
export const callId = (/** @type {number} */ client, /** @type {number} */ number) => client * 2 ** 32 + number;

/**
 * Most calls are small and return at once.
 *
 * @param {number} seed
 * @param {number} id
 * @param {number} longest the longest delay of a handler, in ms: of one in a hundred
 */
export const callBody = (seed, id, longest = 300) => {
  const below = randomOf(seed, id);
  const kind = below(100);
  const delay = kind === 0 ? below(longest) : kind < 10 ? below(20) : 0;
  const size = () => (below(100) < 2 ? below(10_000) : below(100));
  return { id, by: 1, delay_ms: delay, padding: "x".repeat(size()), returned_bytes: size() };
};
