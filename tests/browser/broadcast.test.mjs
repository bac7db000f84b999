// examples/broadcast, and a page of another origin that imports the client from it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { launch, open, shows } from "./chromium.mjs";
import { start, until } from "./program.mjs";

let browser;

before(async () => {
  browser = await launch();
});

after(async () => {
  await browser?.close();
});

/** Starts a server for one test, because each message reaches all its pages. */
const serve = async (t) => {
  const program = await start("aaw-example-broadcast");
  t.after(() => program.stop());
  return program;
};

/** Waits until the newest message matches. */
const showsMessage = (page, pattern) => shows(page, "#messages li", pattern);

test("each page gets the welcome message, and all pages the message of an HTTP request", async (t) => {
  const { url } = await serve(t);
  const pages = [await open(t, browser, url), await open(t, browser, url)];
  for (const page of pages) await showsMessage(page, /^Welcome to my server/);

  const response = await fetch(`${url}/broadcast/happy%20birthday`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^application\/json/);
  assert.deepEqual(await response.json(), { message: "happy birthday" });
  for (const page of pages) {
    await showsMessage(page, /^happy birthday/);
    assert.equal(await page.locator("#messages li").count(), 2);
  }
});

test("the form of the page sends any text to all pages", async (t) => {
  const { url } = await serve(t);
  const [one, other] = [await open(t, browser, url), await open(t, browser, url)];
  for (const page of [one, other]) await showsMessage(page, /^Welcome/);
  const text = `100 % <b>& "a/b"?</b> #1 👋`;
  await one.getByLabel("Message", { exact: true }).fill(text);
  await one.getByRole("button", { name: "Send to all" }).click();
  for (const page of [one, other]) {
    await showsMessage(page, /👋/);
    assert.ok((await page.textContent("#messages li")).startsWith(text));
  }
});

test("connecting and disconnecting run the program's hooks, and update the count", async (t) => {
  const { url, logged } = await serve(t);
  const [one, other] = [await open(t, browser, url), await open(t, browser, url)];
  await shows(one, "#online", /^2 pages are connected/);
  await logged(/connected id=/);
  await other.close();
  await shows(one, "#online", /^No other page/);
  await logged(/disconnected/);
  await until(url, "online", (count) => count === 1);
});

test("a page that loses its connection reconnects, and gets the welcome message again", async (t) => {
  const first = await serve(t);
  const page = await open(t, browser, first.url);
  await showsMessage(page, /^Welcome/);
  await first.stop();
  await shows(page, "#state", /^connection lost$/);
  const second = await start("aaw-example-broadcast", { PORT: new URL(first.url).port });
  t.after(() => second.stop());
  await page.locator("#messages li").nth(1).waitFor();
  await shows(page, "#online", /^No other page/);
});

test("a page of another port imports the client, and receives messages", async (t) => {
  const { url } = await serve(t);
  const { port } = new URL(url);
  const elsewhere = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><link rel="icon" href="data:,"><title>Elsewhere</title><p id="message"></p>
      <script type="module">
        import aaw from "http://localhost:${port}/aaw.js";
        const ws = aaw("ws://localhost:${port}");
        ws.on("message", ({ message }) => (document.getElementById("message").textContent = message));
      </script>`);
  }).listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  t.after(() => elsewhere.close());

  const page = await open(t, browser, `http://localhost:${elsewhere.address().port}`);
  await shows(page, "#message", /^Welcome/);
  await fetch(`${url}/broadcast/${encodeURIComponent("from afar")}`);
  await shows(page, "#message", /^from afar$/);
});
