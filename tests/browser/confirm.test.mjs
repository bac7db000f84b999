// examples/confirm: the server calls all pages, and counts their answers.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch, open, shows } from "./chromium.mjs";
import { call, start } from "./program.mjs";

let browser;

before(async () => {
  browser = await launch();
});

after(async () => {
  await browser?.close();
});

/** Starts a server for one test, because a question reaches all its pages, and opens connected pages. */
const serve = async (t, pageCount, environment) => {
  const program = await start("aaw-example-confirm", environment);
  t.after(() => program.stop());
  const pages = [];
  while (pages.length < pageCount) {
    const page = await open(t, browser, program.url);
    await shows(page, "#state", /^connected$/);
    pages.push(page);
  }
  return { ...program, pages };
};

const ask = async (page, question) => {
  await page.getByRole("textbox", { name: "Question" }).fill(question);
  await page.getByRole("button", { name: "Ask all pages" }).click();
};

const answer = (page, text) => page.locator("#questions").getByRole("button", { name: text }).click();

test("a question reaches all pages including its author's, and all pages show the result", async (t) => {
  const { pages } = await serve(t, 3);
  await ask(pages[0], "Tea? <b>& cake</b>");
  for (const page of pages) await shows(page, "#questions p", /^Tea\? <b>& cake<\/b>$/);
  await answer(pages[0], "Yes");
  await answer(pages[1], "No");
  assert.equal(await pages[0].locator("#counts li").count(), 0, "no result before the last answer");
  await answer(pages[2], "Yes");
  for (const page of pages) {
    await shows(page, "#counts li .numbers", /^2 yes, 1 no$/);
    assert.equal(await page.locator("#questions .card").count(), 0);
  }
});

test("an HTTP call asks the pages and returns the result", async (t) => {
  const { url, pages } = await serve(t, 2);
  const count = call(url, "ask", { question: "Coffee?" });
  for (const page of pages) await answer(page, "No");
  assert.deepEqual(await count, { question: "Coffee?", yes: 0, no: 2, silent: 0 });
});

test("two questions can be open at once", async (t) => {
  const { url, pages } = await serve(t, 1);
  const counts = ["Tea?", "Coffee?"].map((question) => call(url, "ask", { question }));
  for (const text of ["Tea?", "Coffee?"]) {
    const card = pages[0].locator("#questions .card", { hasText: text });
    await card.getByRole("button", { name: text === "Tea?" ? "Yes" : "No" }).click();
  }
  assert.deepEqual(
    (await Promise.all(counts)).map(({ yes, no }) => [yes, no]),
    [
      [1, 0],
      [0, 1],
    ],
  );
});

test("a page that does not answer in time, or is closed, counts as silent", async (t) => {
  const { url, pages } = await serve(t, 3, { CONFIRM_MS: "1500" });
  const count = call(url, "ask", { question: "Water?" });
  await answer(pages[0], "Yes");
  await pages[1].locator("#questions .card").waitFor();
  await pages[1].context().close();
  assert.deepEqual(await count, { question: "Water?", yes: 1, no: 0, silent: 2 });
  // The server has cancelled its call to the page that is still open.
  await pages[2].locator("#questions .card").waitFor({ state: "detached" });
  await shows(pages[2], "#counts li .numbers", /^1 yes, 0 no, 2 did not answer$/);
});

test("a question disappears from all pages when it is withdrawn, or its page is closed", async (t) => {
  const { pages } = await serve(t, 2);
  const [one, other] = pages;
  await ask(one, "Cake?");
  await other.locator("#questions .card").waitFor();
  await one.getByRole("button", { name: "Withdraw" }).click();
  for (const page of pages) await page.locator("#questions .card").waitFor({ state: "detached" });
  await ask(one, "Biscuits?");
  await shows(other, "#questions p", /^Biscuits/);
  await one.context().close();
  await other.locator("#questions .card").waitFor({ state: "detached" });
  assert.equal(await other.locator("#counts li").count(), 0);
});
