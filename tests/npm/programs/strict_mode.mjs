// A React component with a client, in StrictMode: React mounts it, unmounts it and mounts it again at once. Prints what
// the component has shown, how many connections there were and how they ended, and what React or the client complained
// about.

import { createElement, StrictMode, useEffect, useState } from "react";
import { create } from "react-test-renderer";

import aaw from "aaw-js";

/** @type {unknown[]} */
const complaints = [];
for (const name of ["error", "warn"]) console[name] = (...what) => complaints.push(what.map(String).join(" "));
process.on("unhandledRejection", (error) => complaints.push(`unhandled: ${error}`));

const clients = [];
let shown;
const isShown = new Promise((resolve) => (shown = resolve));

const Component = () => {
  const [pong, setPong] = useState(null);
  useEffect(() => {
    const ws = aaw(process.env.AAW_URL, { timeout: 30_000 });
    clients.push(ws);
    ws.on("error", (error) => complaints.push(`error: ${error.message ?? error.type}`));
    // The call of the client that React closes at once rejects, as every call of a closed client.
    ws.sendAsync("ping").then(setPong, ({ code }) => code !== "no_connection" && complaints.push(`ping: ${code}`));
    return () => void ws.close();
  }, []);
  if (pong) shown();
  return JSON.stringify(pong);
};

const root = create(createElement(StrictMode, null, createElement(Component)), { unstable_isConcurrent: true });
await isShown;
await new Promise((resolve) => setImmediate(resolve));
const text = root.toJSON();
const open = clients.map((ws) => ws.state);
root.unmount();
await Promise.all(clients.map((ws) => ws.close()));
console.log(JSON.stringify({ text, open, closed: clients.map((ws) => ws.state), complaints: complaints.filter((text) => !text.includes("react-test-renderer is deprecated")) }));
