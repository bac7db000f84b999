// Chromium, without a window. Debian's package, or whatever of its kind is on the path.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** Nothing goes out to a network by itself; as root there is no sandbox. playwright adds a fresh profile. */
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** How long whatever is waited for may take, in ms: far more than it does, on a busy machine. */
export const PATIENCE = 30_000;

const find = () => {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of NAMES) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here.
      }
    }
  }
  throw new Error(`There is no ${NAMES.join(", no ")}. On Debian: apt-get install chromium`);
};

export const launch = () => chromium.launch({ executablePath: find(), args: FLAGS });

/**
 * Opens a page as somebody new, and tells the test `t` when something in it was not caught.
 *
 * @param {import("playwright-core").BrowserContextOptions} [looks]
 */
export const open = async (t, browser, url, looks) => {
  const context = await browser.newContext(looks);
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const uncaught = [];
  page.on("pageerror", (error) => uncaught.push(error));
  t?.after(async () => {
    await context.close();
    if (uncaught.length) throw new AggregateError(uncaught, `uncaught in ${url}: ${uncaught.join("; ")}`);
  });
  await page.goto(url);
  return page;
};

/** Waits until the text of an element fits. */
export const shows = (page, selector, pattern) =>
  page.waitForFunction(
    ([selector, source]) => new RegExp(source).test(document.querySelector(selector)?.textContent ?? ""),
    [selector, pattern.source],
  );
