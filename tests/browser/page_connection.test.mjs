// The connection of the server's built-in page, over which it shows pushes, and what happens to it in words.

import { after, before, test } from "node:test";

import aaw from "../../aaw-js/aaw.js";
import { STOCK, start } from "../js/server.mjs";
import { launch, open, shows } from "./chromium.mjs";
import { startProxy } from "./cutting_proxy.mjs";

let browser;
let server;

before(
  async () => {
    browser = await launch();
    server = await start({ events: STOCK });
  },
  { timeout: 600_000 },
);

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("the page shows pushes, and tells that its connection was resumed and what was lost", async (t) => {
  const proxy = await startProxy(t, server);
  const page = await open(t, browser, proxy.url);
  await page.getByRole("button", { name: "Listen" }).click();
  await shows(page, "#link", /^Connected as [0-9a-f-]{36}$/);
  const sender = aaw(server.url);
  t.after(() => sender.close());
  sender.sendSync("announce", "first");
  await shows(page, "#log", /broadcast "first"/);
  // Without a network, until more pushes wait than the server keeps. A response proves that the server has handled them.
  await page.context().setOffline(true);
  proxy.cut();
  await shows(page, "#link", /^Interrupted: /);
  for (let n = 0; n < 50; n += 1) sender.sendSync("announce", "x".repeat(10_000));
  await sender.sendAsync("ping");
  await page.context().setOffline(false);
  await shows(page, "#link", /^Resumed: /);
  await shows(page, "#log", /Lost: the server has dropped \d+ pushes meanwhile/);
  await page.getByRole("button", { name: "Close" }).click();
  await shows(page, "#link", /^Closed$/);
});
