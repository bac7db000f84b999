// The server that runs while the snippets of a page run.

import { spawn } from "node:child_process";
import { cpSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { basename, join } from "node:path";

/** Starts a program and waits for a line of its output. */
export const started = (command, args, options, pattern) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    let output = "";
    const failed = (reason) => reject(new Error(`${command} ${args.join(" ")}: ${reason}\n${output}`));
    const timer = setTimeout(() => (child.kill("SIGKILL"), failed("nothing within 120 s")), 120_000);
    const read = (text) => {
      output += text;
      const found = pattern.exec(output);
      if (found) (clearTimeout(timer), resolve({ child, found, output: () => output }));
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
    child.on("error", (error) => (clearTimeout(timer), failed(error.message)));
    child.on("exit", (code) => (clearTimeout(timer), failed(`ended with ${code}`)));
  });

/** Stops a program; returns its exit code. */
export const stop = (child) =>
  new Promise((resolve) => {
    if (child.exitCode !== null) return resolve(child.exitCode);
    const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    child.removeAllListeners("exit");
    child.on("exit", (code, signal) => (clearTimeout(timer), resolve(code ?? signal)));
    child.kill("SIGTERM");
  });

/**
 * A free port. The programs of a page contain it, so it is chosen before they are compiled. It is below those that Linux
 * gives to outgoing connections, one of which could have it by the time when the server starts.
 *
 * @returns {Promise<string>}
 */
export const freePort = () =>
  new Promise((resolve, reject) => {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const retry = (error) => (error.code === "EADDRINUSE" ? resolve(freePort()) : reject(error));
    const server = createServer().on("error", retry);
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(`${port}`)));
  });

/**
 * Serves a compiled library of events, with log-ins and a folder of static files.
 *
 * @param {string} folder A folder for the page.
 * @param {string} library
 * @param {string} port
 */
export const serve = async (folder, library, port) => {
  const [events, files] = [join(folder, "events"), join(folder, "static")];
  mkdirSync(events, { recursive: true });
  mkdirSync(files, { recursive: true });
  cpSync(library, join(events, basename(library)));
  const args = [events, "--port", port, "--auth", join(folder, "users.sqlite"), "--static", files];
  const { child } = await started(program("AAW_SERVER_BIN"), args, {}, /listening on/);
  return { port, files, stop: () => stop(child) };
};

/** The path of a program in an environment variable, which `tests/run` sets. */
export const program = (variable) => {
  const path = process.env[variable];
  if (!path) throw new Error(`set ${variable} to the program to test; tests/run does so`);
  return path;
};
