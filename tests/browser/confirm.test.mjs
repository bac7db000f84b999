// examples/confirm: the server asks everybody, and counts what they answer.

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

/** A program of its own for each test, as everybody is asked; and so many pages that are connected. */
const serve = async (t, many, environment) => {
  const program = await start("aaw-example-confirm", environment);
  t.after(() => program.stop());
  const pages = [];
  while (pages.length < many) {
    const page = await open(t, browser, program.url);
    await shows(page, "#state", /^connected$/);
    pages.push(page);
  }
  return { ...program, pages };
};

const ask = async (page, question) => {
  await page.getByRole("textbox", { name: "Question" }).fill(question);
  await page.getByRole("button", { name: "Ask everybody" }).click();
};

const answer = (page, text) => page.locator("#asked").getByRole("button", { name: text }).click();

test("everybody is asked, whoever asks included, and everybody hears the count", async (t) => {
  const { pages } = await serve(t, 3);
  await ask(pages[0], "Tea? <b>& cake</b>");
  for (const page of pages) await shows(page, "#asked p", /^Tea\? <b>& cake<\/b>$/);
  await answer(pages[0], "Yes");
  await answer(pages[1], "No");
  assert.equal(await pages[0].locator("#counts li").count(), 0, "one has not answered yet");
  await answer(pages[2], "Yes");
  for (const page of pages) {
    await shows(page, "#counts li .numbers", /^2 yes, 1 no$/);
    assert.equal(await page.locator("#asked .card").count(), 0);
  }
});

test("who asks from elsewhere is not asked, and gets the count", async (t) => {
  const { url, pages } = await serve(t, 2);
  const count = call(url, "ask", { question: "Coffee?" });
  for (const page of pages) await answer(page, "No");
  assert.deepEqual(await count, { question: "Coffee?", yes: 0, no: 2, silent: 0 });
});

test("two questions at once are two", async (t) => {
  const { url, pages } = await serve(t, 1);
  const counts = ["Tea?", "Coffee?"].map((question) => call(url, "ask", { question }));
  for (const text of ["Tea?", "Coffee?"]) {
    const card = pages[0].locator("#asked .card", { hasText: text });
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

test("who does not answer in time, or goes, is counted as silent", async (t) => {
  const { url, pages } = await serve(t, 3, { CONFIRM_MS: "1500" });
  const count = call(url, "ask", { question: "Anybody?" });
  await answer(pages[0], "Yes");
  await pages[1].locator("#asked .card").waitFor();
  await pages[1].context().close();
  assert.deepEqual(await count, { question: "Anybody?", yes: 1, no: 0, silent: 2 });
  // The server has told the one that is still there that nobody waits any more.
  await pages[2].locator("#asked .card").waitFor({ state: "detached" });
  await shows(pages[2], "#counts li .numbers", /^1 yes, 0 no, 2 did not answer$/);
});

test("a question that is withdrawn is gone everywhere, and so is one whose page is", async (t) => {
  const { pages } = await serve(t, 2);
  const [one, other] = pages;
  await ask(one, "Cake?");
  await other.locator("#asked .card").waitFor();
  await one.getByRole("button", { name: "Withdraw" }).click();
  for (const page of pages) await page.locator("#asked .card").waitFor({ state: "detached" });
  await ask(one, "Biscuits?");
  await shows(other, "#asked p", /^Biscuits/);
  await one.context().close();
  await other.locator("#asked .card").waitFor({ state: "detached" });
  assert.equal(await other.locator("#counts li").count(), 0);
});
