// Compares what a command has printed with what a page says.

/**
 * Splits a shell block at the comments that state its output.
 *
 * @param {string} code
 * @returns {{ commands: string, expected: string[] | undefined }[]}
 */
export const splitShell = (code) => {
  const parts = [{ commands: "", expected: undefined }];
  for (const line of code.split("\n").slice(0, -1)) {
    const part = parts.at(-1);
    if (line === "#" || line.startsWith("# ")) (part.expected ??= []).push(line.slice(2));
    else if (part.expected) parts.push({ commands: `${line}\n`, expected: undefined });
    else part.commands += `${line}\n`;
  }
  return parts;
};

/** The expected output of a JavaScript block: the comments after each `console.log`. @param {string} code */
export const expectedOfScript = (code) => {
  const expected = [];
  let follows = false;
  for (const line of code.split("\n").map((line) => line.trim())) {
    const isComment = line.startsWith("// ");
    if (isComment && follows) expected.push(line.slice(3));
    else follows = line.includes("console.log");
  }
  return expected;
};

/**
 * Whether the output is the expected one: `…` matches anything within a line, and a line `…` any number of lines.
 *
 * @param {string[]} expected
 * @param {string} output
 */
export const matches = (expected, output) => {
  const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const lines = expected.map((line) => (line === "…" ? "(?:.*\\n)*" : `${line.split("…").map(escape).join(".*")}\\n`));
  return new RegExp(`^${lines.join("")}$`).test(output === "" || output.endsWith("\n") ? output : `${output}\n`);
};
