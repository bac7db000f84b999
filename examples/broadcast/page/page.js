import aaw from "/aaw.js";

/** Messages on the page; older ones are removed. */
const MAX_MESSAGES = 50;

const byId = (id) => document.getElementById(id);
const ws = aaw();

// Listeners stay across reconnects. The server sends its welcome message on each new connection.
ws.on("message", ({ message }) => {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  item.append(message, time);
  byId("messages").prepend(item);
  byId("messages").children[MAX_MESSAGES]?.remove();
});

/** The labels of the connection's states. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const showState = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", showState);
showState();

const path = (text) => `/broadcast/${encodeURIComponent(text)}`;
const showRequest = () => {
  byId("request").textContent = `curl ${location.origin}${path(byId("text").value || "happy birthday")}`;
};
byId("text").addEventListener("input", showRequest);
showRequest();

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("error").textContent = "";
  try {
    const response = await fetch(path(byId("text").value));
    if (!response.ok) throw new Error((await response.json()).error);
    byId("text").value = "";
    showRequest();
  } catch ({ message }) {
    byId("error").textContent = message;
  }
});

for (;;) {
  try {
    for await (const count of ws.stream("online")) {
      byId("online").textContent = count === 1 ? "No other page is connected." : `${count} pages are connected.`;
    }
  } catch (error) {
    byId("online").textContent = "";
    // The next call waits for the next connection. After any other error, wait before trying again.
    if (error.code !== "outcome_unknown") await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
