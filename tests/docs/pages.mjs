// The pages whose snippets are tested.

import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

const FIXED = ["README.md", "CONTRIBUTING.md", "aaw-js/README.md", "examples/README.md"];

/** @returns {string[]} Relative to the repository. */
export const pages = () => {
  const guide = readdirSync(`${ROOT}/docs`).filter((name) => name.endsWith(".md") && name !== "SUMMARY.md");
  const examples = readdirSync(`${ROOT}/examples`).map((name) => `examples/${name}/README.md`);
  return [...FIXED, ...guide.map((name) => `docs/${name}`), ...examples.filter((file) => existsSync(`${ROOT}/${file}`))];
};
