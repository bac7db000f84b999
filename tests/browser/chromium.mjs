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

/**
 * Opens a page that can be frozen. Playwright's cannot: it emulates that they have the focus, and Chromium freezes hidden pages
 * only. This one is driven over the DevTools protocol, and has those of Playwright's methods that tests use.
 */
export const openFreezable = async (t, browser, url) => {
  const root = await browser.newBrowserCDPSession();
  const { targetId } = await root.send("Target.createTarget", { url });
  t.after(() => root.send("Target.closeTarget", { targetId }));
  const { sessionId } = await root.send("Target.attachToTarget", { targetId, flatten: false });
  const pending = new Map();
  root.on("Target.receivedMessageFromTarget", ({ sessionId: from, message }) => {
    const { id, result, error } = JSON.parse(message);
    const [resolve, reject] = (from === sessionId && pending.get(id)) || [];
    if (error) reject?.(new Error(error.message));
    else resolve?.(result);
  });
  let lastId = 0;
  const send = (method, params) =>
    new Promise((resolve, reject) => {
      const id = (lastId += 1);
      pending.set(id, [resolve, reject]);
      root.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id, method, params }) }).catch(reject);
    });
  const evaluate = async (callback, argument) => {
    const expression = `(${callback})(${JSON.stringify(argument) ?? ""})`;
    const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  /** @param {"frozen" | "active"} state */
  const setState = (state) => send("Page.setWebLifecycleState", { state });
  return {
    evaluate,
    /** Asks again and again from here, because the page may not be loaded yet. */
    waitForFunction: async (callback, argument) => {
      const deadline = Date.now() + TIMEOUT;
      while (!(await evaluate(callback, argument).catch(() => false))) {
        if (Date.now() > deadline) throw new Error(`waited for ${callback}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    /** Nothing runs in a frozen page, except what the test evaluates. */
    freeze: async () => {
      await evaluate(() => document.addEventListener("freeze", () => (globalThis.isFrozen = true)));
      await setState("frozen");
      while (!(await evaluate(() => globalThis.isFrozen))) await new Promise((resolve) => setTimeout(resolve, 20));
    },
    thaw: () => setState("active"),
  };
};
