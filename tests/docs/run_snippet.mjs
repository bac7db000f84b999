// Runs one snippet while the server of its page runs.

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { chromium, proxyFile, unitFile } from "./run_special.mjs";
import { expectedOfScript, matches, splitShell } from "./output.mjs";
import { started, stop } from "./page_server.mjs";

/** A program's exit code and output; `both` also collects standard error into `stdout`. */
const execute = (command, args, { cwd, env, both = false, timeout = 120_000 }) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    const timer = setTimeout(() => (child.kill("SIGKILL"), reject(new Error(`not done within ${timeout / 1000} s\n${stdout}${stderr}`))), timeout);
    child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (both ? (stdout += text) : (stderr += text)));
    child.on("error", reject);
    child.on("close", (code) => (clearTimeout(timer), resolve({ code, stdout, stderr })));
  });

const fail = (plan, text) => {
  throw new Error(`${plan.file}:${plan.line}: ${text}`);
};

/**
 * @typedef {object} Context
 * @property {string} root
 * @property {string} work The working directory of the page.
 * @property {Record<string, string>} env
 * @property {{ port: string, files: string }} server
 * @property {import("./workspace.mjs").Workspace} workspace
 * @property {string} otherPort A free port, for a server that a page starts itself: it takes the place of 8443.
 * @property {string} slug
 * @property {import("node:test").TestContext} t
 */

const runShell = async (plan, code, { root, work, env }) => {
  if (plan.directive === "server") {
    const { child, output } = await started("bash", ["-eu", "-o", "pipefail", "-c", `exec env ${code}`], { cwd: work, env }, /listening on|serving/);
    const exit = await stop(child);
    if (exit !== 0) fail(plan, `the server ended with ${exit} after SIGTERM\n${output()}`);
    return;
  }
  const parts = splitShell(code);
  const script = parts.map(({ commands }, index) => `${commands}printf '\\001${index}\\001'\n`).join("");
  const exit = Number(/exit=(\d+)/.exec(plan.directive)?.[1] ?? 0);
  const cwd = plan.directive === "repository" ? root : work;
  const result = await execute("bash", ["-eu", "-o", "pipefail", "-c", script], { cwd, env });
  const output = result.stdout.split(/\u0001\d+\u0001/);
  for (const [index, { commands, expected }] of parts.entries()) {
    if (expected && !matches(expected, output[index] ?? "")) {
      const text = `${commands}expected:\n${expected.join("\n")}\nfound:\n${output[index] ?? "nothing: an earlier command failed"}`;
      fail(plan, `${text}\n${result.stderr}`);
    }
  }
  if (result.code !== exit) fail(plan, `exit code ${result.code}, expected ${exit}\n${result.stdout}${result.stderr}`);
};

/** The script with what a page has in scope: `aaw`, and a connection `ws` that is closed at the end. */
const completeScript = (code, port) => {
  let script = code.replace(/"(\/aaw\.js|http:\/\/localhost:\d+\/aaw\.js)"/g, '"aaw-js"');
  if (/^(const|let) ws\b/m.test(script)) return /import .*\baaw\b/.test(script) ? script : `import aaw from "aaw-js";\n${script}`;
  const head = /import (aaw|.*\baaw\b).* from/.test(script) ? "" : 'import aaw from "aaw-js";\n';
  if (!/\bws\b/.test(script)) return head + script;
  script = `${head}const ws = aaw("ws://localhost:${port}");\n${script}\nawait ws.close();\n`;
  return script;
};

const runScript = async (plan, code, context) => {
  if (plan.directive === "page") return chromium(plan, `<script type="module">${code}</script>`, context);
  const isCommonJs = plan.directive === "commonjs";
  const file = join(context.work, `line_${plan.line}.${isCommonJs ? "cjs" : "mjs"}`);
  writeFileSync(file, isCommonJs ? code : completeScript(code, context.server.port));
  const args = ["--experimental-websocket", "--no-warnings", file];
  const { code: exit, stdout } = await execute("node", args, { cwd: context.work, env: context.env, both: true, timeout: 60_000 });
  if (exit !== 0) fail(plan, `exit code ${exit}\n${stdout}`);
  const expected = expectedOfScript(code);
  if (expected.length > 0 && !matches(expected, stdout)) fail(plan, `expected:\n${expected.join("\n")}\nfound:\n${stdout}`);
};

const runProgram = async (plan, context) => {
  if (plan.directive !== "program run") return;
  const { code, stdout } = await execute(context.workspace.program(context.slug, plan.line), [], {
    cwd: context.work,
    env: { ...context.env, AAW_PORT: context.server.port },
    both: true,
  });
  if (code !== 0) fail(plan, `exit code ${code}\n${stdout}`);
};

const checkTypes = async (plan, code, { work, root, env }) => {
  const folder = join(work, `types_${plan.line}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "snippet.mts"), code);
  const flags = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "snippet.mts"];
  const tsc = join(root, "aaw-js/node_modules/.bin/tsc");
  const { code: exit, stdout } = await execute(tsc, flags, { cwd: folder, env, both: true });
  if (exit !== 0) fail(plan, `TypeScript reports\n${stdout}`);
};

const checkToml = async (plan, code, { work, root, env }) => {
  const folder = join(work, `toml_${plan.line}`);
  mkdirSync(join(folder, "src"), { recursive: true });
  writeFileSync(join(folder, "src/lib.rs"), "");
  // A package that the page tells to depend on.
  if (code.includes('"my-events"')) {
    mkdirSync(join(folder, "my-events/src"), { recursive: true });
    writeFileSync(join(folder, "my-events/src/lib.rs"), "");
    writeFileSync(join(folder, "my-events/Cargo.toml"), '[package]\nname = "my-events"\nversion = "0.1.0"\n');
  }
  const head = code.includes("[package]") ? "" : '[package]\nname = "snippet"\nversion = "0.1.0"\nedition = "2024"\n\n';
  const workspace = code.includes("[workspace]") ? "" : "\n[workspace]\n";
  const text = code.replaceAll("…/", `${root}/`);
  writeFileSync(join(folder, "Cargo.toml"), `${head}${text}${workspace}`);
  const { code: exit, stdout } = await execute("cargo", ["metadata", "--no-deps", "--format-version", "1"], { cwd: folder, env, both: true });
  if (exit !== 0) fail(plan, `cargo reports\n${stdout}`);
};

const checkSettings = async (plan, code, { work, env }) => {
  const file = join(work, `settings_${plan.line}.toml`);
  writeFileSync(file, code);
  const { code: exit, stdout } = await execute("aaw-server", ["config", "--check", "--config", file], { cwd: work, env, both: true });
  if (exit !== 0) fail(plan, `aaw-server reports\n${stdout}`);
};

/**
 * Runs a snippet. Throws what is wrong, with the line of the page.
 *
 * @param {import("./plan.mjs").Plan} plan
 * @param {Context} context
 */
export const runSnippet = async (plan, context) => {
  const code = plan.code.replaceAll("1337", context.server.port).replaceAll("8443", context.otherPort);
  switch (plan.kind) {
    case "sh":
      return runShell(plan, code, context);
    case "js":
      return runScript(plan, code, context);
    case "html":
      return chromium(plan, code, context);
    case "program":
      return runProgram(plan, context);
    case "ts":
      return checkTypes(plan, code, context);
    case "toml":
      return plan.directive === "settings" ? checkSettings(plan, code, context) : checkToml(plan, code, context);
    case "json":
      return void JSON.parse(code);
    case "nginx":
    case "caddyfile":
      return proxyFile(plan, context);
    case "ini":
      return unitFile(plan, context);
    default:
      throw new Error(`no way to run ${plan.kind}`);
  }
};
