// The examples look alike: they share a file by having the same one each.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const style = (example) => readFile(new URL(`../../examples/${example}/page/style.css`, import.meta.url), "utf8");

for (const example of ["broadcast", "chat", "confirm", "tokens", "users"]) {
  test(`${example} looks like orders`, async () => {
    assert.equal(await style(example), await style("orders"));
  });
}
