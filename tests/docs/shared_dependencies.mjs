// The dependencies of the repository's workspace, with the features that it is built with. A package that has them all uses
// the crates that `tests/run` has compiled. With fewer features, cargo would compile most of them again.

import { spawnSync } from "node:child_process";

/**
 * The tables `dependencies` and `build-dependencies` of a manifest. Each entry has the name of its package, except for the
 * older one of two versions.
 *
 * @param {string} root The root folder of the repository.
 * @param {{ dependencies?: string, buildDependencies?: string }} [own] Further lines.
 */
export const sharedDependencies = (root, { dependencies = "", buildDependencies = "" } = {}) => {
  // What build scripts and procedural macros depend on is compiled for the machine that builds, with features of its own.
  const target = packages(root, "normal,dev,no-proc-macro");
  const build = new Map([...packages(root, "normal,dev,build")].filter(([entry]) => !target.has(entry)));
  return `[dependencies]\n${lines(target)}\n${dependencies}\n[build-dependencies]\n${lines(build)}\n${buildDependencies}`;
};

/** The packages of the registry, each with its features. @param {string} root @param {string} edges */
const packages = (root, edges) => {
  const args = ["tree", "--workspace", "--locked", "--edges", edges, "--prefix", "none", "--format", "{p}|{f}"];
  const { status, stdout, stderr, error } = spawnSync("cargo", args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  if (error) throw error;
  if (status !== 0) throw new Error(`cargo tree fails: ${stderr}`);
  const found = [...stdout.matchAll(/^((\S+) v(\S+)\|(\S*))(?: \(\*\))?$/gm)];
  if (found.length === 0) throw new Error("cargo tree lists no dependencies");
  return new Map(found.map(([, entry, name, version, features]) => [entry, { name, version, features }]));
};

/** @param {ReturnType<typeof packages>} found */
const lines = (found) => {
  const newestFirst = [...found.values()].sort((a, b) => b.version.localeCompare(a.version, "en", { numeric: true }));
  const names = new Set();
  const entries = newestFirst.map(({ name, version, features }) => {
    const key = names.has(name) ? `${name}-${version}`.replaceAll(/[^A-Za-z0-9-]/g, "-") : name;
    names.add(name);
    // `1.2.1+spec-1.1.0`: a requirement has no build metadata.
    const number = version.replace(/\+.*/, "");
    const list = features.split(",").filter(Boolean).map((feature) => `"${feature}"`).join(", ");
    return `${key} = { package = "${name}", version = "=${number}", default-features = false, features = [${list}] }\n`;
  });
  return entries.sort().join("");
};
