import aaw from "/aaw.js";

/** Lines on the page; older ones are removed. */
const MAX_LINES = 200;

/** How often this page reports that its user is typing, in ms. */
const TYPING_INTERVAL = 2000;

/** How long a report of the other members is shown, in ms. */
const TYPING_TIMEOUT = 3000;

const byId = (id) => document.getElementById(id);

// The list of rooms is loaded over HTTP, because there is no connection yet.
const rooms = await aaw.http().sendAsync("rooms");

// The token is kept across reloads, until the window is closed. The client resumes the session.
const ws = aaw(undefined, { storage: sessionStorage });

/** The room that is shown. */
let [room] = rooms;

/** The room's members: the address of each connection, and the connections that have left since it was entered. */
let members = { emails: new Map(), left: new Set() };

/** The members who are typing, by address, and until when that is shown. */
const typing = new Map();

// --- Authentication --------------------------------------------------------------------------------------------------

/** Shows the chat if the user is logged in, or else the log-in form. */
const showUser = () => {
  const isLoggedIn = ws.identity !== null;
  byId("login").hidden = isLoggedIn;
  byId("chat").hidden = !isLoggedIn;
  byId("me").textContent = isLoggedIn ? ws.identity.email : "";
  if (!isLoggedIn) byId("lines").replaceChildren();
};

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const method = event.submitter?.value ?? "login";
  byId("login-error").textContent = "";
  try {
    // `ws.login` or `ws.register`. The server's password hash is slow on purpose, hence the longer timeout.
    await ws[method](byId("email").value, byId("password").value, 10_000);
    byId("password").value = "";
    showUser();
    await enter(room);
  } catch ({ error }) {
    byId("login-error").textContent = error;
  }
});

byId("logout").addEventListener("click", async () => {
  ws.sendSync("leave", { room });
  try {
    await ws.logout();
  } catch ({ error }) {
    byId("error").textContent = error;
  }
  showUser();
});

// The session has ended: logged out elsewhere, or expired.
ws.on("unauthorized", ({ error }) => {
  if (ws.state === "open") ws.sendSync("leave", { room });
  byId("login-error").textContent = error;
  showUser();
});

// Also when a connection could not be resumed: the session is, but the old connection's room membership is lost.
ws.on("open", () => {
  showUser();
  if (ws.identity) enter(room).catch(({ error }) => (byId("error").textContent = error));
});

// --- Rooms -----------------------------------------------------------------------------------------------------------

async function enter(name) {
  if (room !== name) ws.sendSync("leave", { room });
  room = name;
  const entered = (members = { emails: new Map(), left: new Set() });
  byId("lines").replaceChildren();
  typing.clear();
  showTyping();
  const response = await ws.sendAsync("auth/enter", { room });
  // Another room was chosen meanwhile.
  if (entered !== members) return;
  for (const line of response.lines) addLine(line);
  // A member may have left before the response arrived.
  for (const { id, email } of response.members) if (!members.left.has(id)) members.emails.set(id, email);
  showMembers();
}

ws.on("aaw/joined", ({ room: where, member }) => {
  if (where !== room || !member.identity) return;
  members.left.delete(member.id);
  members.emails.set(member.id, member.identity.email);
  showMembers();
});

ws.on("aaw/left", ({ room: where, member }) => {
  if (where !== room) return;
  members.left.add(member.id);
  members.emails.delete(member.id);
  showMembers();
});

function showMembers() {
  // A user with two windows is listed once.
  byId("members").textContent = `Members: ${[...new Set(members.emails.values())].sort().join(", ")}`;
}

for (const name of rooms) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "room", className: "visually-hidden" });
  radio.checked = name === room;
  radio.addEventListener("change", () => {
    byId("error").textContent = "";
    enter(name).catch(({ error }) => (byId("error").textContent = error));
  });
  label.append(radio, name);
  byId("rooms").append(label);
}

// --- Messages --------------------------------------------------------------------------------------------------------

ws.on("said", ({ room: where, line }) => {
  if (where !== room) return;
  addLine(line);
  typing.delete(line.by);
  showTyping();
});

/** Whether new lines are scrolled into view. They are not while the user reads earlier ones. */
let isAtEnd = true;

let lastScrollTop = 0;

/** Inserts a line in order, once: it may arrive both in the history and as a message. */
function addLine({ id, by, text, at }) {
  const list = byId("lines");
  if (list.querySelector(`[data-id="${id}"]`)) return;
  const item = document.createElement("li");
  item.dataset.id = id;
  item.classList.toggle("mine", by === ws.identity?.email);
  const head = document.createElement("small");
  head.textContent = `${by}, ${new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
  item.append(head, text);
  list.insertBefore(item, [...list.children].find((other) => Number(other.dataset.id) > id) ?? null);
  if (list.children.length > MAX_LINES) list.firstElementChild.remove();
  keepEnd();
}

byId("lines").addEventListener("scroll", ({ target }) => {
  // Only the user scrolls up. A list that has just shrunk is not at its end, but is about to be scrolled there.
  const isUp = target.scrollTop < lastScrollTop;
  lastScrollTop = target.scrollTop;
  if (isUp || !isAtEnd) isAtEnd = target.scrollTop + target.clientHeight > target.scrollHeight - 40;
});

function keepEnd() {
  if (isAtEnd) byId("lines").scrollTop = byId("lines").scrollHeight;
}

// The list is shown after its first lines have arrived, and shrinks when a phone shows its keyboard.
new ResizeObserver(keepEnd).observe(byId("lines"));

byId("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("error").textContent = "";
  reportedAt = -Infinity;
  const field = byId("text");
  const text = field.value;
  // Cleared now and not when the response arrives, so that what the user types meanwhile is kept.
  field.value = "";
  try {
    // The line arrives as `said`, as for all members.
    await ws.sendAsync("auth/say", { room, text });
  } catch ({ error }) {
    byId("error").textContent = error;
    field.value = [text, field.value].filter(Boolean).join(" ");
  }
});

// --- Typing ----------------------------------------------------------------------------------------------------------

let reportedAt = -Infinity;
byId("text").addEventListener("input", () => {
  if (ws.state !== "open" || performance.now() - reportedAt < TYPING_INTERVAL) return;
  reportedAt = performance.now();
  ws.sendSync("auth/typing", { room });
});

ws.on("typing", ({ room: where, by }) => {
  if (where !== room) return;
  typing.set(by, performance.now() + TYPING_TIMEOUT);
  setTimeout(showTyping, TYPING_TIMEOUT + 10);
  showTyping();
});

function showTyping() {
  for (const [by, until] of typing) if (until <= performance.now()) typing.delete(by);
  const names = [...typing.keys()].sort();
  byId("typing").textContent = names.length ? `${names.join(", ")} ${names.length > 1 ? "are" : "is"} typing …` : "";
}

// --- The connection --------------------------------------------------------------------------------------------------

/** The labels of the connection's states. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const showState = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", showState);
showState();
