import aaw from "/aaw.js";

/** The last messages that are sent with each question. Models keep no state, and bodies have a size limit. */
const MAX_HISTORY = 20;

const byId = (id) => document.getElementById(id);
const ws = aaw();

/** The conversation, in the format of the model's API. */
const messages = [];

/** Cancels the current response. */
let stop = new AbortController();

/** The labels of the connection's states. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const showState = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", showState);
showState();

ws.sendAsync("model").then(({ name, is_stand_in }) => {
  byId("model").textContent = is_stand_in
    ? "Model: a built-in stand-in. Set OPENAI_BASE_URL in the program's environment to use a real model's API."
    : `Model: ${name}`;
});

function addMessage(role, content) {
  const item = document.createElement("li");
  item.className = role;
  item.textContent = content;
  byId("messages").append(item);
  return item;
}

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = { role: "user", content: byId("text").value };
  messages.push(question);
  addMessage(question.role, question.content);
  const item = addMessage("assistant", "");
  item.setAttribute("aria-busy", "true");
  byId("text").value = "";
  byId("error").textContent = "";
  byId("send").disabled = true;
  byId("stop").disabled = false;
  stop = new AbortController();
  const response = { role: "assistant", content: "" };
  try {
    for await (const token of ws.stream("chat", { messages: messages.slice(-MAX_HISTORY) }, { signal: stop.signal })) {
      response.content += token;
      item.append(token);
      item.scrollIntoView({ block: "nearest" });
    }
  } catch ({ code, error }) {
    if (code !== "cancelled") byId("error").textContent = error;
  }
  if (response.content) messages.push(response);
  else item.remove();
  item.removeAttribute("aria-busy");
  byId("send").disabled = false;
  byId("stop").disabled = true;
  byId("text").focus();
});

byId("stop").addEventListener("click", () => stop.abort());
