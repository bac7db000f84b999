// Methods that work without `this`, so that pages can destructure them: `const { sendAsync } = aaw()`.

/**
 * Binds the named methods to the object.
 *
 * @template {object} O
 * @param {O} object
 * @param {...(keyof O)} names
 */
export const bindMethods = (object, ...names) => {
  for (const name of names) {
    const method = /** @type {unknown} */ (object[name]);
    if (typeof method === "function") Object.defineProperty(object, name, { value: method.bind(object) });
  }
};
