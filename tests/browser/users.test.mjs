// examples/users, SCENARIOS B2 to B4.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { PATIENCE, launch, open, shows } from "./chromium.mjs";
import { call, start } from "./program.mjs";

const EXAMPLE = "aaw-example-users";

let browser;
let folder;
/** With a table that can be read to its end in no time, and is larger than a message may be. */
let small;

before(async () => {
  browser = await launch();
  folder = await mkdtemp(join(tmpdir(), "aaw-users-"));
  small = await start(EXAMPLE, { USERS_ROWS: "20000", USERS_DB: join(folder, "users.db") });
});

after(async () => {
  await browser?.close();
  await small?.stop();
  await rm(folder, { recursive: true, force: true });
});

const press = (page, button) => page.getByRole("button", { name: button, exact: true }).click();

for (const way of ["WebSocket", "NDJSON", "Server-sent events", "Polling"]) {
  test(`every row comes over ${way}`, async (t) => {
    const page = await open(t, browser, small.url);
    await press(page, way);
    await shows(page, "#how", new RegExp(`^(Read all|Failed): ${way}$`));
    assert.equal(await page.textContent("#wrong"), "");
    assert.equal(await page.textContent("#count"), "20,000");
    assert.match(await page.textContent("#rows tr"), /^20000.* .*20000@example\.org$/);
  });

  test(`rows that come before an error are shown over ${way}`, async (t) => {
    const page = await open(t, browser, small.url);
    await page.getByLabel("With a damaged row").check();
    await press(page, way);
    await shows(page, "#how", new RegExp(`^(Read all|Failed): ${way}$`));
    assert.equal(await page.textContent("#wrong"), "Row 1000 cannot be read");
    assert.equal(await page.textContent("#count"), "999");
  });
}

test("all rows as one array are more than a message may be", async (t) => {
  const page = await open(t, browser, small.url);
  await press(page, "One array");
  await shows(page, "#wrong", /larger than a message may be/);
  assert.equal(await page.textContent("#count"), "0");
});

test("a million rows: the first are there at once, and Stop closes the cursor", async (t) => {
  const users = await start(EXAMPLE);
  t.after(() => users.stop());
  for (const way of ["WebSocket", "NDJSON", "Server-sent events"]) {
    const page = await open(t, browser, users.url);
    await press(page, way);
    await shows(page, "#count", /[1-9]/);
    assert.equal((await call(users.url, "users/cursors")).open, 1);
    await press(page, "Stop");
    await shows(page, "#how", new RegExp(`^Stopped: ${way}$`));
    assert.ok(Number((await page.textContent("#count")).replaceAll(",", "")) < 1_000_000);
    await closed(users.url);
  }
});

test("who reads slowly slows the cursor, and closes it with the page", async (t) => {
  await closed(small.url);
  const before = await call(small.url, "users/cursors");
  const page = await open(t, browser, small.url);
  await page.getByLabel("Read slowly").check();
  await press(page, "WebSocket");
  // A second later the table would have been read to its end.
  await shows(page, "#count", /\d\d/);
  const { open: cursors, rows_read } = await call(small.url, "users/cursors");
  assert.equal(cursors, 1);
  // What the page has room for, and a little that is on its way.
  assert.ok(rows_read - before.rows_read < 1500, `${rows_read - before.rows_read} rows`);
  await page.close();
  await closed(small.url);
});

/** Until no cursor is open. */
const closed = async (url) => {
  const patience = AbortSignal.timeout(PATIENCE);
  while ((await call(url, "users/cursors")).open > 0) patience.throwIfAborted();
};
