// The modules of the client.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { brotliCompressSync } from "node:zlib";

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

test("the README states the size of the compressed bundle", () => {
  const size = brotliCompressSync(readFileSync(new URL("../dist/aaw.js", import.meta.url))).length;
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const [, stated] = /\bis (\d+) kB when compressed/.exec(readme) ?? [];
  // Versions of the compressor differ a little.
  assert.ok(Math.abs(size / 1000 - Number(stated)) <= 0.7, `${size} bytes, and the README says ${stated} kB`);
});
