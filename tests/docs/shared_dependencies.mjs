// The dependencies of the repository's workspace, with the features that it is built with. A package that has them all uses
// the crates that `tests/run` has compiled. With fewer features, cargo would compile most of them again.

import { spawnSync } from "node:child_process";

/**
 * The lines of a manifest's table of dependencies. Each has the name of its package, except for the older one of two
 * versions.
 *
 * @param {string} root The root folder of the repository.
 */
export const sharedDependencies = (root) => {
  // Without procedural macros, whose dependencies are compiled for the machine that builds, with features of their own.
  const args = ["tree", "--workspace", "--locked", "--edges", "normal,dev,no-proc-macro", "--prefix", "none", "--format", "{p}|{f}"];
  const { status, stdout, stderr, error } = spawnSync("cargo", args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  if (error) throw error;
  if (status !== 0) throw new Error(`cargo tree fails: ${stderr}`);
  const packages = [...stdout.matchAll(/^(\S+) v(\S+)\|(\S*)(?: \(\*\))?$/gm)];
  if (packages.length === 0) throw new Error("cargo tree lists no dependencies");
  const lines = new Map();
  for (const [, name, version, features] of packages.sort(([, , a], [, , b]) => b.localeCompare(a, "en", { numeric: true }))) {
    const isOlder = lines.has(name) && lines.get(name).version !== version;
    const key = isOlder ? `${name}-${version}`.replaceAll(/[^A-Za-z0-9-]/g, "-") : name;
    // `1.2.1+spec-1.1.0`: a requirement has no build metadata.
    const number = version.replace(/\+.*/, "");
    const list = features.split(",").filter(Boolean).map((feature) => `"${feature}"`).join(", ");
    lines.set(key, { version, text: `${key} = { package = "${name}", version = "=${number}", default-features = false, features = [${list}] }` });
  }
  return [...lines.values()].map(({ text }) => text).sort().join("\n");
};
