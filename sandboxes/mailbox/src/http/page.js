"use strict";

// The address of the page says what is seen: ?query=… and #message-id, so it can be shared and reloaded.

const $ = (id) => document.getElementById(id);
const PAGE = 50;
const state = { messages: [], next: "", chosen: null, message: null, view: null, loaded: PAGE };

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error((await answer.json()).message);
  return answer.json();
}

function timeOf(message) {
  const time = new Date(message.receiveTime);
  const today = time.toDateString() === new Date().toDateString();
  const text = today ? time.toLocaleTimeString() : time.toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" });
  return element("time", { dateTime: message.receiveTime, title: time.toLocaleString(), textContent: text });
}

function subjectOf(message) {
  return message.subject.trim() || "(no subject)";
}

// ---- the list

async function pageOf(size, token) {
  const query = new URLSearchParams({ pageSize: size, pageToken: token });
  if ($("query").value.trim()) query.set("query", $("query").value.trim());
  return ask("api/messages?" + query);
}

let refreshes = 0;
async function refresh() {
  const turn = ++refreshes;
  const [page, stats, faults] = await Promise.all([pageOf(state.loaded, ""), ask("api/stats"), ask("api/faults")]);
  // An answer that was overtaken by a later question is not news.
  if (turn !== refreshes) return;
  state.messages = page.messages;
  state.next = page.nextPageToken;
  drawList();
  $("stats").textContent = `${stats.accepted} accepted · ${stats.suppressed} duplicate · ${stats.refused} refused`;
  const active = Object.entries(faults).filter(([, value]) => value).map(([name, value]) => `${name} ${value}`);
  $("faults").hidden = active.length === 0;
  $("faults").textContent = "Faults in force: " + active.join(", ");
  document.title = stats.messages ? `(${stats.messages}) Artel mailbox` : "Artel mailbox";
  if (state.chosen) await choose(state.chosen);
}

async function older() {
  const page = await pageOf(PAGE, state.next);
  const known = new Set(state.messages.map((message) => message.id));
  state.messages.push(...page.messages.filter((message) => !known.has(message.id)));
  state.loaded = Math.min(state.messages.length, 1000);
  state.next = page.nextPageToken;
  drawList();
}

function drawList() {
  $("list").replaceChildren(...state.messages.map(row));
  $("more").hidden = !state.next;
  $("empty").hidden = state.messages.length > 0;
  $("empty").textContent = $("query").value.trim()
    ? "No message matches."
    : "No messages yet. Send one by SMTP, and it shows here at once.";
}

function row(message) {
  const link = element("a", { href: "#" + message.id },
    element("span", { className: "title", textContent: subjectOf(message) }), timeOf(message),
    element("span", { className: "who", textContent: `${message.from || "(no sender)"} → ${message.to.join(", ")}` }));
  if (message.deliveries > 1) {
    link.append(element("span", { className: "times", textContent: "×" + message.deliveries, title: `sent ${message.deliveries} times, kept once` }));
  }
  link.append(element("span", { className: "words", textContent: message.text.trim().slice(0, 120) || " " }));
  link.setAttribute("aria-current", String(message.id === state.chosen));
  return element("li", {}, link);
}

// ---- one message

async function choose(id) {
  const same = state.message && state.message.id === id;
  state.chosen = id || null;
  for (const link of $("list").querySelectorAll("a")) {
    link.setAttribute("aria-current", String(link.hash === "#" + id));
  }
  let message = null;
  if (id) {
    message = await ask("api/messages/" + encodeURIComponent(id)).catch(() => null);
    if (state.chosen !== id) return;
  }
  const changed = !same || !message || message.deliveries !== state.message.deliveries;
  state.message = message;
  $("message").hidden = !message;
  $("hint").hidden = Boolean(message);
  $("hint").textContent = id && !message ? "This message is no longer here." : "Choose a message. Arrow keys move through the list.";
  document.querySelector("main").classList.toggle("reading", Boolean(message));
  if (message && changed) drawMessage(message, same);
}

function drawMessage(message, same) {
  $("subject").textContent = subjectOf(message);
  const facts = [
    ["From", message.headers["From"] || message.from || "(no sender)"],
    ["To", message.recipients.map((to) => to.deliveries > 1 ? `${to.address} (sent ${to.deliveries} times, kept once)` : to.address).join(", ")],
    ["Received", new Date(message.receiveTime).toLocaleString()],
    ["Message-ID", message.messageId || "none"],
  ];
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [
    element("dt", { textContent: name }), element("dd", { textContent: value })]));
  $("raw").href = `api/messages/${message.id}/raw`;
  $("attachments").hidden = message.attachments.length === 0;
  $("attachments").replaceChildren(...message.attachments.map((file, n) => element("li", {}, element("a", {
    href: `api/messages/${message.id}/attachments/${n}`,
    textContent: `${file.name} · ${file.contentType} · ${bytes(file.size)}`,
  }))));
  document.querySelector('[data-view="html"]').disabled = !message.html;
  if (same) return;
  const wanted = state.view || (message.html ? "html" : "text");
  drawView(wanted === "html" && !message.html ? "text" : wanted);
}

function bytes(size) {
  return size < 1024 ? `${size} B` : size < 1048576 ? `${(size / 1024).toFixed(1)} KiB` : `${(size / 1048576).toFixed(1)} MiB`;
}

async function drawView(view) {
  const message = state.message;
  for (const tab of document.querySelectorAll("[data-view]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.view === view));
  }
  if (view === "html") {
    const frame = element("iframe", { title: "The message", src: `api/messages/${message.id}/html` });
    frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
    frame.referrerPolicy = "no-referrer";
    $("view").replaceChildren(frame);
  } else if (view === "headers") {
    $("view").replaceChildren(element("table", {}, ...Object.entries(message.headers).map(([name, value]) =>
      element("tr", {}, element("th", { scope: "row", textContent: name }), element("td", { textContent: value })))));
  } else if (view === "source") {
    const source = await (await fetch(`api/messages/${message.id}/raw`)).text();
    if (state.message === message) $("view").replaceChildren(element("pre", { textContent: source }));
  } else {
    $("view").replaceChildren(element("pre", { textContent: message.text.trim() || "(no text)" }));
  }
}

// ---- what people do

function debounce(wait, act) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(act, wait); };
}

const filter = debounce(150, () => {
  const address = new URL(location.href);
  const query = $("query").value.trim();
  if (query) address.searchParams.set("query", query); else address.searchParams.delete("query");
  history.replaceState(null, "", address);
  state.loaded = PAGE;
  refresh();
});
$("query").addEventListener("input", filter);
$("more").addEventListener("click", older);
$("back").addEventListener("click", () => { location.hash = ""; });
$("clear").addEventListener("click", async () => {
  if (!confirm("Remove every message from this mailbox?")) return;
  await ask("api/messages", { method: "DELETE" });
  location.hash = "";
});
for (const tab of document.querySelectorAll("[data-view]")) {
  tab.addEventListener("click", () => { state.view = tab.dataset.view; drawView(state.view); });
}
addEventListener("hashchange", () => choose(location.hash.slice(1)));
addEventListener("keydown", (event) => {
  const typing = event.target.matches("input");
  if (event.key === "/" && !typing) { event.preventDefault(); $("query").focus(); return; }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  const at = state.messages.findIndex((message) => message.id === state.chosen);
  const next = state.messages[at < 0 ? 0 : at + step];
  if (!next) return;
  event.preventDefault();
  location.hash = next.id;
  document.querySelector('#list a[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
});

// ---- live

function live(text, on) {
  $("live").textContent = text;
  $("live").dataset.state = on ? "on" : "wait";
}

const news = debounce(80, () => refresh().catch(() => live("reconnecting", false)));
const events = new EventSource("api/events");
events.addEventListener("open", () => live("live", true));
events.addEventListener("error", () => live("reconnecting", false));
events.addEventListener("change", news);

$("query").value = new URLSearchParams(location.search).get("query") || "";
state.chosen = location.hash.slice(1) || null;
refresh().catch(() => live("reconnecting", false));
