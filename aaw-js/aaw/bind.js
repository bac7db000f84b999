// Methods that need no `this`: pages take them apart, `const { sendAsync } = aaw()`, and hand them on.

/**
 * @template {object} O
 * @param {O} object
 * @param {...(keyof O)} names
 */
export const bind = (object, ...names) => {
  for (const name of names) {
    const method = /** @type {unknown} */ (object[name]);
    if (typeof method === "function") Object.defineProperty(object, name, { value: method.bind(object) });
  }
};
