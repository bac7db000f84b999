// examples/users: a large table over each transport.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { TIMEOUT, launch, open, shows } from "./chromium.mjs";
import { call, start } from "./program.mjs";

const EXAMPLE = "aaw-example-users";

let browser;
let folder;
/** Its table is read quickly, but exceeds the size limit of a message. */
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

const click = (page, button) => page.getByRole("button", { name: button, exact: true }).click();

for (const transport of ["WebSocket", "NDJSON", "Server-sent events", "Polling"]) {
  test(`all rows arrive over ${transport}`, async (t) => {
    const page = await open(t, browser, small.url);
    await click(page, transport);
    await shows(page, "#status", new RegExp(`^(Completed|Failed): ${transport}$`));
    assert.equal(await page.textContent("#error"), "");
    assert.equal(await page.textContent("#count"), "20,000");
    assert.match(await page.textContent("#rows tr"), /^20000.* .*20000@example\.org$/);
  });

  test(`the rows before an error are shown over ${transport}`, async (t) => {
    const page = await open(t, browser, small.url);
    await page.getByLabel("With a damaged row").check();
    await click(page, transport);
    await shows(page, "#status", new RegExp(`^(Completed|Failed): ${transport}$`));
    assert.equal(await page.textContent("#error"), "Row 1000 cannot be read");
    assert.equal(await page.textContent("#count"), "999");
  });
}

test("all rows as one array exceed the size limit of a message", async (t) => {
  const page = await open(t, browser, small.url);
  await click(page, "One array");
  await shows(page, "#error", /read them as a stream/);
  assert.equal(await page.textContent("#count"), "0");
});

test("the first of a million rows arrive at once, and Stop closes the cursor", async (t) => {
  const users = await start(EXAMPLE);
  t.after(() => users.stop());
  for (const transport of ["WebSocket", "NDJSON", "Server-sent events"]) {
    const page = await open(t, browser, users.url);
    await click(page, transport);
    await shows(page, "#count", /[1-9]/);
    assert.equal((await call(users.url, "users/cursors")).open, 1);
    await click(page, "Stop");
    await shows(page, "#status", new RegExp(`^Stopped: ${transport}$`));
    assert.ok(Number((await page.textContent("#count")).replaceAll(",", "")) < 1_000_000);
    await cursorsClosed(users.url);
  }
});

test("a slow reader slows the cursor down, and closing the page closes it", async (t) => {
  await cursorsClosed(small.url);
  const before = await call(small.url, "users/cursors");
  const page = await open(t, browser, small.url);
  await page.getByLabel("Read slowly").check();
  await click(page, "WebSocket");
  // A fast reader would have read the whole table by then.
  await shows(page, "#count", /\d\d/);
  const { open: cursors, rows_read } = await call(small.url, "users/cursors");
  assert.equal(cursors, 1);
  // The page's credit, and a few rows in transit.
  assert.ok(rows_read - before.rows_read < 1500, `${rows_read - before.rows_read} rows`);
  await page.close();
  await cursorsClosed(small.url);
});

test("on a phone the table fits the screen, and breaks no word", async (t) => {
  const page = await open(t, browser, small.url, { viewport: { width: 390, height: 844 } });
  await click(page, "WebSocket");
  await shows(page, "#status", /^Completed/);
  const measured = await page.evaluate(() => ({
    width: document.documentElement.scrollWidth,
    // A text that was broken has several lines.
    broken: [...document.querySelectorAll("th, td, button")]
      .map((element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        const lines = new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
        return [element.textContent, lines];
      })
      .filter(([text, lines]) => lines > text.trim().split(/\s+/).length),
  }));
  assert.deepEqual(measured, { width: 390, broken: [] });
});

/** Waits until no cursor is open. */
const cursorsClosed = async (url) => {
  const timeout = AbortSignal.timeout(TIMEOUT);
  while ((await call(url, "users/cursors")).open > 0) timeout.throwIfAborted();
};
