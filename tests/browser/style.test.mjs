// The examples have the same style: each has a copy of the same file.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const style = (example) => readFile(new URL(`../../examples/${example}/page/style.css`, import.meta.url), "utf8");

for (const example of ["broadcast", "chat", "confirm", "tokens", "users"]) {
  test(`the style of ${example} equals that of orders`, async () => {
    assert.equal(await style(example), await style("orders"));
  });
}
