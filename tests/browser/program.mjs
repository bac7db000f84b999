// Starts the examples as child processes.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { TIMEOUT } from "./chromium.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Built in one command: building each alone would make cargo rebuild shared dependencies with other features. */
const PACKAGES = ["broadcast", "chat", "confirm", "linked", "orders", "tokens", "users"].map((name) => `aaw-example-${name}`);

/** The path of a program: in AAW_EXAMPLES_BIN_DIR if that is set; otherwise cargo builds the programs first. */
const programPath = async (name) => {
  const folder = process.env.AAW_EXAMPLES_BIN_DIR;
  if (folder) return join(folder, name);
  programs ??= build();
  const executable = (await programs).get(name);
  if (!executable) throw new Error(`cargo has not built ${name}`);
  return executable;
};

let programs;

const build = async () => {
  const packages = PACKAGES.flatMap((name) => ["-p", name]);
  const args = ["build", "--locked", "--bins", "--message-format=json-render-diagnostics", ...packages];
  const cargo = spawn("cargo", args, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  const programs = new Map();
  for await (const line of createInterface({ input: cargo.stdout })) {
    const { executable, target } = JSON.parse(line);
    if (executable) programs.set(target.name, executable);
  }
  return programs;
};

/**
 * Starts a program on a free port, and waits until it prints its URL.
 *
 * @param {RegExp} urlPattern Its first group is the URL.
 */
export const start = async (name, { urlPattern = /^open (http:\S+)$/, ...environment } = {}) => {
  const child = spawn(await programPath(name), {
    env: { ...process.env, PORT: "0", RUST_LOG: "info", NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (log += text));
  const exit = once(child, "exit");
  const url = await new Promise((resolve, reject) => {
    // The first start of the example `users` writes a table of a million rows.
    setTimeout(() => reject(new Error(`${name} has not printed its URL:\n${log}`)), 2 * TIMEOUT).unref();
    createInterface({ input: child.stdout }).on("line", (line) => {
      const found = urlPattern.exec(line);
      if (found) resolve(found[1]);
    });
    child.on("error", reject);
    exit.then(([code]) => reject(new Error(`${name} exited with code ${code} before it printed its URL:\n${log}`)));
  });
  return {
    url,
    /** The log so far. */
    log: () => log,
    /** Waits until the log matches. */
    logged: async (pattern) => {
      const timeout = AbortSignal.timeout(TIMEOUT);
      while (!pattern.test(log)) {
        await once(child.stderr, "data", { signal: timeout }).catch(() => {
          throw new Error(`${name} has not logged ${pattern}:\n${log}`);
        });
      }
    },
    /** Kills it, so that connections end without a close frame. */
    stop: async () => {
      child.kill("SIGKILL");
      await exit;
    },
    /** Interrupts it, as Ctrl-C does, and returns its exit code. */
    interrupt: async () => {
      child.kill("SIGINT");
      const [code] = await exit;
      return code;
    },
  };
};

/** Reads the items of a streaming event over HTTP, until one matches. */
export const until = async (url, event, matches) => {
  const headers = { accept: "application/x-ndjson" };
  const signal = AbortSignal.timeout(TIMEOUT);
  const response = await fetch(`${url}/events/${event}`, { method: "POST", headers, signal });
  let last;
  for await (const item of lines(response)) {
    last = item;
    if (matches(item)) return item;
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

/** Calls an event over HTTP. */
export const call = async (url, event, body) => {
  const response = await fetch(`${url}/events/${event}`, { method: "POST", body: JSON.stringify(body ?? null) });
  if (!response.ok) throw new Error(`${event}: ${response.status} ${await response.text()}`);
  return response.json();
};
