// The examples, as programs that run until their test is over.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { PATIENCE } from "./chromium.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What is built together: each of them alone would have cargo build what they share with other features again. */
const PACKAGES = ["broadcast", "chat", "confirm", "linked", "orders", "tokens", "users"].map((name) => `aaw-example-${name}`);

/** Where the programs are: in AAW_EXAMPLES_BIN_DIR if somebody has built them already, or wherever cargo puts them. */
const built = async (name) => {
  const folder = process.env.AAW_EXAMPLES_BIN_DIR;
  if (folder) return join(folder, name);
  programs ??= build();
  const executable = (await programs).get(name);
  if (!executable) throw new Error(`cargo built no ${name}`);
  return executable;
};

let programs;

const build = async () => {
  const packages = PACKAGES.flatMap((name) => ["-p", name]);
  const how = ["build", "--locked", "--bins", "--message-format=json-render-diagnostics", ...packages];
  const cargo = spawn("cargo", how, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  const programs = new Map();
  for await (const line of createInterface({ input: cargo.stdout })) {
    const { executable, target } = JSON.parse(line);
    if (executable) programs.set(target.name, executable);
  }
  return programs;
};

/**
 * Starts a program, on a port of its own, and waits until it says where it is.
 *
 * @param {RegExp} says Its first group is what `url` will be.
 */
export const start = async (name, { says = /^open (http:\S+)$/, ...environment } = {}) => {
  const child = spawn(await built(name), {
    env: { ...process.env, PORT: "0", RUST_LOG: "info", NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (log += text));
  const exit = once(child, "exit");
  const url = await new Promise((resolve, reject) => {
    // The first start of one of them writes a table of a million rows.
    setTimeout(() => reject(new Error(`${name} does not say where it serves:\n${log}`)), 2 * PATIENCE).unref();
    createInterface({ input: child.stdout }).on("line", (line) => {
      const found = says.exec(line);
      if (found) resolve(found[1]);
    });
    child.on("error", reject);
    exit.then(([code]) => reject(new Error(`${name} ended (${code}) before it served:\n${log}`)));
  });
  return {
    url,
    /** What it has logged so far. */
    log: () => log,
    /** Waits until it has logged that. */
    logged: async (pattern) => {
      const patience = AbortSignal.timeout(PATIENCE);
      while (!pattern.test(log)) {
        await once(child.stderr, "data", { signal: patience }).catch(() => {
          throw new Error(`${name} has not logged ${pattern}:\n${log}`);
        });
      }
    },
    /** Ends it, as when the system takes the process away, without a goodbye. */
    stop: async () => {
      child.kill("SIGKILL");
      await exit;
    },
    /** Ends it as Ctrl-C does, and gives its exit code. */
    interrupt: async () => {
      child.kill("SIGINT");
      const [code] = await exit;
      return code;
    },
  };
};

/** The items of a streaming event, read over HTTP, until one fits. */
export const until = async (url, event, fits) => {
  const headers = { accept: "application/x-ndjson" };
  const signal = AbortSignal.timeout(PATIENCE);
  const response = await fetch(`${url}/events/${event}`, { method: "POST", headers, signal });
  let last;
  for await (const item of lines(response)) {
    last = item;
    if (fits(item)) return item;
  }
  throw new Error(`${event} ended with ${JSON.stringify(last)}`);
};

async function* lines(response) {
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const all = (rest + text).split("\n");
    rest = all.pop();
    for (const line of all) yield JSON.parse(line);
  }
}

/** One call over HTTP. */
export const call = async (url, event, body) => {
  const response = await fetch(`${url}/events/${event}`, { method: "POST", body: JSON.stringify(body ?? null) });
  if (!response.ok) throw new Error(`${event}: ${response.status} ${await response.text()}`);
  return response.json();
};
