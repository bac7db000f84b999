// Headless Chromium: Debian's package, or another build that is on the PATH.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** No background network traffic; no sandbox, because it does not work as root. playwright adds a fresh profile. */
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

/** The timeout of all waiting, in ms. A passing test never reaches it, even on a busy machine. */
export const TIMEOUT = 60_000;

const find = () => {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of NAMES) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not in this folder.
      }
    }
  }
  throw new Error(`found none of ${NAMES.join(", ")} on the PATH; on Debian: apt-get install chromium`);
};

/** @param {import("playwright-core").LaunchOptions} [options] */
export const launch = (options) => chromium.launch({ executablePath: find(), args: FLAGS, ...options });

/**
 * Opens a page in a browser context of its own, without cookies or storage. The test `t` fails if the page has an
 * uncaught error.
 *
 * @param {import("playwright-core").BrowserContextOptions} [contextOptions]
 */
export const open = async (t, browser, url, contextOptions) => {
  const context = await browser.newContext(contextOptions);
  context.setDefaultTimeout(TIMEOUT);
  const page = await context.newPage();
  const uncaught = [];
  page.on("pageerror", (error) => uncaught.push(error));
  t?.after(async () => {
    await context.close();
    if (uncaught.length) throw new AggregateError(uncaught, `uncaught errors in ${url}: ${uncaught.join("; ")}`);
  });
  await page.goto(url);
  return page;
};

/** Waits until the text of an element matches. */
export const shows = (page, selector, pattern) =>
  page.waitForFunction(
    ([selector, source]) => new RegExp(source).test(document.querySelector(selector)?.textContent ?? ""),
    [selector, pattern.source],
  );
