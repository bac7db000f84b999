// examples/broadcast, SCENARIOS E1 to E5; and a page of another origin that imports the client from it.

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

/** One for each test, as everybody hears everybody. */
const serve = async (t) => {
  const program = await start("aaw-example-broadcast");
  t.after(() => program.stop());
  return program;
};

const newest = (page, pattern) => shows(page, "#messages li", pattern);

test("who comes is greeted, and everybody hears what an HTTP request says", async (t) => {
  const { url } = await serve(t);
  const pages = [await open(t, browser, url), await open(t, browser, url)];
  for (const page of pages) await newest(page, /^Welcome to my server/);

  const response = await fetch(`${url}/broadcast/happy%20birthday`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^application\/json/);
  assert.deepEqual(await response.json(), { message: "happy birthday" });
  for (const page of pages) {
    await newest(page, /^happy birthday/);
    assert.equal(await page.locator("#messages li").count(), 2);
  }
});

test("the page's own form does the same, with whatever is written", async (t) => {
  const { url } = await serve(t);
  const [one, other] = [await open(t, browser, url), await open(t, browser, url)];
  for (const page of [one, other]) await newest(page, /^Welcome/);
  const text = `100 % <b>& "a/b"?</b> #1 👋`;
  await one.getByLabel("Message").fill(text);
  await one.getByRole("button", { name: "Tell everybody" }).click();
  for (const page of [one, other]) {
    await newest(page, /👋/);
    assert.ok((await page.textContent("#messages li")).startsWith(text));
  }
});

test("coming and going run the program's own code, and who has gone is not there any more", async (t) => {
  const { url, logged } = await serve(t);
  const [one, other] = [await open(t, browser, url), await open(t, browser, url)];
  await shows(one, "#online", /^2 are connected/);
  await logged(/new connection/);
  await other.close();
  await shows(one, "#online", /^Nobody else/);
  await logged(/gone/);
  await until(url, "online", (many) => many === 1);
});

test("a page that loses its connection comes back by itself, and is greeted again", async (t) => {
  const first = await serve(t);
  const page = await open(t, browser, first.url);
  await newest(page, /^Welcome/);
  await first.stop();
  await shows(page, "#state", /^connection lost$/);
  const second = await start("aaw-example-broadcast", { PORT: new URL(first.url).port });
  t.after(() => second.stop());
  await page.locator("#messages li").nth(1).waitFor();
  await shows(page, "#online", /^Nobody else/);
});

test("a page of another port imports the client, and hears as well", async (t) => {
  const { url } = await serve(t);
  const { port } = new URL(url);
  const elsewhere = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><link rel="icon" href="data:,"><title>Elsewhere</title><p id="heard"></p>
      <script type="module">
        import aaw from "http://localhost:${port}/aaw.js";
        const ws = aaw("ws://localhost:${port}");
        ws.on("message", ({ message }) => (document.getElementById("heard").textContent = message));
      </script>`);
  }).listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  t.after(() => elsewhere.close());

  const page = await open(t, browser, `http://localhost:${elsewhere.address().port}`);
  await shows(page, "#heard", /^Welcome/);
  await fetch(`${url}/broadcast/${encodeURIComponent("from afar")}`);
  await shows(page, "#heard", /^from afar$/);
});
