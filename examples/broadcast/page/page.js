import aaw from "/aaw.js";

/** Messages that are shown; older ones go. */
const MOST = 50;

const byId = (id) => document.getElementById(id);
const ws = aaw();

// Listeners stay when the connection is made again, and the server greets us again then.
ws.on("message", ({ message }) => {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  item.append(message, time);
  byId("messages").prepend(item);
  byId("messages").children[MOST]?.remove();
});

/** What the states of the connection are called. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const tell = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", tell);
tell();

const address = (text) => `/broadcast/${encodeURIComponent(text)}`;
const write = () => {
  byId("request").textContent = `curl ${location.origin}${address(byId("text").value || "happy birthday")}`;
};
byId("text").addEventListener("input", write);
write();

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("wrong").textContent = "";
  try {
    const response = await fetch(address(byId("text").value));
    if (!response.ok) throw new Error((await response.json()).error);
    byId("text").value = "";
    write();
  } catch ({ message }) {
    byId("wrong").textContent = message;
  }
});

for (;;) {
  try {
    for await (const many of ws.stream("online")) {
      byId("online").textContent = many === 1 ? "Nobody else is connected." : `${many} are connected.`;
    }
  } catch (error) {
    byId("online").textContent = "";
    // Once more, over the next connection; if it is not the connection that was lost, without a hurry.
    if (error.code !== "outcome_unknown") await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
