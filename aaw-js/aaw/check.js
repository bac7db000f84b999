// Checks of the options and arguments that applications pass. A wrong one is a `TypeError` that names it, says what is
// expected and what was passed. `undefined` and `null` mean everywhere that an optional value is not given.

/** The most characters of a string that an error shows. */
const MAX_SHOWN = 40;

/** @param {unknown} value @returns {string} */
const describe = (value) => {
  if (typeof value === "string") {
    return `the string ${JSON.stringify(value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}…` : value)}`;
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "symbol") return "a symbol";
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Promise) return "a promise";
  return typeof value === "object" && value !== null ? "an object" : String(value);
};

/** @param {string} name @param {string} expected @param {unknown} value */
export const invalid = (name, expected, value) =>
  new TypeError(`aaw: ${name} must be ${expected}, got ${describe(value)}`);

/** For values that may be secret: the error has only their type. @param {string} name @param {string} expected */
const invalidSecret = (name, expected, /** @type {unknown} */ value) =>
  new TypeError(`aaw: ${name} must be ${expected}, got ${typeof value === "string" ? "another string" : describe(value)}`);

/**
 * A time: a positive number of ms, or `Infinity`.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {number} fallback For a value that is not given.
 * @param {string} [infinity] What `Infinity` means.
 */
export const duration = (name, value, fallback, infinity = "for none") => {
  if (value === undefined || value === null) return fallback;
  if (typeof value === "number" && value > 0) return value;
  throw invalid(name, `a positive number of ms, or Infinity ${infinity}`, value);
};

/** A positive number that is finite. @param {string} name @param {unknown} value @param {number} fallback */
export const finiteDuration = (name, value, fallback) => {
  if (value === undefined || value === null) return fallback;
  if (typeof value === "number" && value > 0 && value < Infinity) return value;
  throw invalid(name, "a positive, finite number of ms", value);
};

/**
 * A limit: a positive integer, or `Infinity`.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {number} fallback
 */
export const limit = (name, value, fallback) => {
  if (value === undefined || value === null) return fallback;
  if (value === Infinity || (Number.isInteger(value) && Number(value) > 0)) return Number(value);
  throw invalid(name, "a positive integer, or Infinity for no limit", value);
};

/**
 * A positive integer up to `max`.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {number} fallback
 * @param {number} max
 */
export const integer = (name, value, fallback, max) => {
  if (value === undefined || value === null) return fallback;
  if (Number.isInteger(value) && Number(value) > 0 && Number(value) <= max) return Number(value);
  throw invalid(name, `an integer from 1 to ${max}`, value);
};

/** @param {string} name @param {unknown} value @param {boolean} [fallback] */
export const flag = (name, value, fallback = false) => {
  if (value === undefined || value === null) return fallback;
  if (typeof value === "boolean") return value;
  throw invalid(name, "true or false", value);
};

/** @param {string} name @param {unknown} value @param {string} fallback */
export const text = (name, value, fallback) => {
  if (value === undefined || value === null) return fallback;
  if (typeof value === "string") return value;
  throw invalid(name, "a string", value);
};

/**
 * A bearer secret of at most `max` characters. An empty one is none.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {number} max
 * @returns {string | null}
 */
export const secret = (name, value, max) => {
  if (value === undefined || value === null || value === "") return null;
  if (typeof value === "string" && value.length <= max) return value;
  throw invalidSecret(name, `a string of at most ${max} characters`, value);
};

/**
 * A function, or `undefined` if none is given.
 *
 * @template {Function} F
 * @param {string} name
 * @param {F | null | undefined} value
 * @returns {F | undefined}
 */
export const optionalFunction = (name, value) => {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "function") return value;
  throw invalid(name, "a function", value);
};

/** @param {string} name @param {unknown} value */
export const requireFunction = (name, value) => {
  if (typeof value !== "function") throw invalid(name, "a function", value);
};

/** The name of an event. @param {unknown} value */
export const requireEventName = (value) => {
  if (typeof value !== "string") throw invalid("the name of an event", "a string", value);
};

/**
 * Options: an object, or `{}` if none are given.
 *
 * @template {object} O
 * @param {string} name
 * @param {O | null | undefined} value
 * @param {string} [expected]
 * @returns {Partial<O>}
 */
export const object = (name, value, expected = "an object") => {
  if (value === undefined || value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value;
  throw invalid(name, expected, value);
};
