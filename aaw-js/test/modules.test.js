// The modules of the client.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const FOLDER = new URL("../aaw/", import.meta.url);

/** The modules that each module imports, types included. */
const imports = new Map(
  readdirSync(FOLDER).map((name) => {
    const text = readFileSync(new URL(name, FOLDER), "utf8");
    return [name, [...text.matchAll(/(?:from |import\()"\.\/([^"]+)"/g)].map(([, imported]) => imported)];
  }),
);

test("no module imports itself, directly or through others", () => {
  const checked = new Set();
  const visit = (/** @type {string} */ name, /** @type {string[]} */ path) => {
    assert.ok(!path.includes(name), `circular import: ${[...path, name].join(" → ")}`);
    if (checked.has(name)) return;
    for (const imported of imports.get(name) ?? assert.fail(`no module ${name}`)) visit(imported, [...path, name]);
    checked.add(name);
  };
  for (const name of imports.keys()) visit(name, []);
});
