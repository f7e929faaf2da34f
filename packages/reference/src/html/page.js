
"use strict";
const root = document.documentElement;
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const api = JSON.parse($("#data").textContent);
const methods = new Map(api.methods.map((method) => [method.id, method]));
const base = location.origin.startsWith("http") ? location.origin : "http://localhost:8080";

/** An element with attributes, listeners (`onclick`) and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Memory of this browser, or of this tab alone; none where it is forbidden.
const remember = (store) => ({
  get: (key) => { try { return window[store].getItem(key); } catch { return null; } },
  set: (key, value) => {
    try { value == null ? window[store].removeItem(key) : window[store].setItem(key, value); } catch { /* none */ }
  },
});
const kept = remember("localStorage");
const forTab = remember("sessionStorage");

// The examples call the address that this page came from.
for (const code of $$("pre code, .guide p code")) {
  code.textContent = code.textContent
    .replaceAll("http://localhost:8080", base)
    .replaceAll("localhost:8080", base.replace(/^https?:\/\//, ""));
}

// Light or dark.
if (kept.get("theme")) root.dataset.theme = kept.get("theme");
$("#theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  kept.set("theme", root.dataset.theme);
});

// What can be copied.
function copyButton(read) {
  const button = make("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    const code = read();
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}
for (const caption of $$("figcaption")) caption.append(copyButton(() => $("code", caption.parentElement)));

// The same call in several languages: one is shown, the same everywhere.
for (const box of $$(".snippets")) {
  const figures = $$("figure", box);
  const tabs = make("div", { class: "tabs", role: "tablist", "aria-label": "Language" });
  for (const figure of figures) {
    const tab = make("button", { type: "button", role: "tab", "data-for": figure.dataset.tab }, $("figcaption", figure).firstChild.textContent);
    tab.addEventListener("click", () => { const top = box.getBoundingClientRect().top; show(figure.dataset.tab); scrollBy({ top: box.getBoundingClientRect().top - top, behavior: "instant" }); });
    tabs.append(tab);
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const all = $$("[role=tab]", tabs);
    const next = step && all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    if (next) { event.preventDefault(); next.click(); next.focus(); }
  });
  const method = methods.get(box.dataset.method);
  if (method) {
    tabs.append(make("button", { type: "button", class: "button try", onclick: () => openTrial(box, method) }, "Try it"));
  }
  box.prepend(tabs);
  box.classList.add("tabbed");
}
function show(language) {
  kept.set("language", language);
  for (const box of $$(".snippets")) {
    const figures = $$("figure[data-tab]", box);
    const shown = figures.find((figure) => figure.dataset.tab === language) || figures[0];
    for (const figure of figures) figure.hidden = figure !== shown;
    for (const tab of $$("[role=tab]", box)) {
      const chosen = tab.dataset.for === shown.dataset.tab;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
  }
}
show(kept.get("language") || "curl");

// Who is signed in.
const sign = $("#sign");
const door = $("#door");
const session = {
  read: () => JSON.parse(forTab.get("session") || "null"),
  write(value) { forTab.set("session", value && JSON.stringify(value)); session.show(); },
  show() {
    const now = session.read();
    sign.textContent = now ? `${now.name} · sign out` : "Sign in";
    sign.title = now ? "Forget the access token" : "Sign in, or paste an access token";
  },
};
async function post(path, body) {
  const answer = await fetch(base + path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(data.message || `${answer.status} ${answer.statusText}`);
  return data;
}
const holds = (name, tokens) => ({ name, access: tokens.accessToken, refresh: tokens.refreshToken });
/** The next pair of tokens; false where there is none to be had. */
async function renew() {
  const now = session.read();
  if (!now?.refresh || !api.refresh) return false;
  try {
    session.write(holds(now.name, await post(api.refresh, { refreshToken: now.refresh })));
    return true;
  } catch {
    session.write(null);
    return false;
  }
}
function enter() {
  if (session.read()) session.write(null);
  else door.showModal();
}
sign.hidden = false;
session.show();
sign.addEventListener("click", enter);
$("[data-close]", door).addEventListener("click", () => door.close());
$("form", door).addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, problem = $(".problem", form), button = $(".strong", form);
  const [email, password, token] = ["email", "password", "token"].map((name) => form.elements[name].value.trim());
  problem.hidden = true;
  button.disabled = true;
  try {
    if (token) session.write({ name: "a token", access: token.replace(/^Bearer\s+/i, "") });
    else session.write(holds(email, await post(api.login, { email, password })));
    form.reset();
    door.close();
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
  button.disabled = false;
});

// Trying a method.
function openTrial(box, method) {
  const open = $(".trial", box);
  if (open) return open.querySelector("input, select, textarea, button").focus();
  const inputs = method.fields.map((field) => {
    const attributes = { name: field.name, placeholder: field.hint || "", required: field.required, autocomplete: "off", spellcheck: "false" };
    const input = field.choices?.length
      ? make("select", { name: field.name }, make("option", { value: "" }, "—"), ...field.choices.map((choice) => make("option", {}, choice)))
      : make("input", attributes);
    return { field, input };
  });
  const mask = method.mask && make("input", { name: method.mask, value: Object.keys(method.body || {}).join(","), autocomplete: "off" });
  const text = method.body && { ...method.body };
  // A key of its own for each trial, or the second would only repeat the first.
  if (text?.idempotencyKey) text.idempotencyKey = `try-${Math.random().toString(36).slice(2, 10)}`;
  const body = text && make("textarea", { "aria-label": "Body", spellcheck: "false", rows: Math.min(16, JSON.stringify(text, null, 2).split("\n").length + 1) });
  if (body) body.value = JSON.stringify(text, null, 2);
  const file = method.file && make("input", { type: "file", "aria-label": "File" });
  const problem = make("p", { class: "problem", role: "alert", hidden: true });
  const send = make("button", { type: "submit", class: "button strong" }, "Send");
  const said = make("div", { "aria-live": "polite" });
  const label = (name, input, required) =>
    make("label", {}, make("span", {}, make("code", {}, name), required ? make("em", {}, " *") : ""), input);
  const form = make("form", { class: "trial" },
    make("h4", {}, "Try it", make("button", { type: "button", class: "copy", "aria-label": "Close", onclick: () => form.remove() }, "Close")),
    ...inputs.filter((it) => it.field.name !== method.mask).map(({ field, input }) => label(field.name, input, field.required)),
    mask ? label(method.mask, mask) : "", body || "", file || "", problem,
    make("p", { class: "actions" }, send, make("span", { class: "none" }, method.signed ? "as whoever is signed in above" : "needs no sign-in")),
    said);
  const complain = (words) => { problem.textContent = words || ""; problem.hidden = !words; };
  const parse = () => {
    if (!body) return undefined;
    try {
      JSON.parse(body.value || "{}");
      body.classList.remove("bad");
      complain();
      return body.value || "{}";
    } catch (error) {
      body.classList.add("bad");
      complain(`The body is not JSON: ${error.message}`);
      return null;
    }
  };
  body?.addEventListener("input", parse);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); }
    if (event.key === "Escape") form.remove();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const json = parse();
    if (json === null) return;
    if (method.file && !file.files.length) return complain("Choose a file first.");
    let path = method.path;
    const query = new URLSearchParams();
    for (const { field, input } of inputs) {
      const value = input.value.trim();
      if (field.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(value));
      else if (value && field.name !== method.mask) (field.many ? value.split(",") : [value]).forEach((one) => query.append(field.name, one.trim()));
    }
    if (mask?.value.trim()) query.set(method.mask, mask.value.trim());
    const url = `${base}${path}${query.size ? `?${query}` : ""}`;
    send.disabled = true;
    said.replaceChildren(make("p", { class: "none" }, "Waiting…"));
    const begin = performance.now();
    try {
      let answer = await call(url, method, method.file ? file.files[0] : json);
      if (answer.status === 401 && session.read()?.refresh && await renew()) answer = await call(url, method, method.file ? file.files[0] : json);
      said.replaceChildren(await shown(answer, Math.round(performance.now() - begin), method, url));
    } catch (error) {
      said.replaceChildren(make("p", { class: "problem" }, `No answer: ${error.message}`));
    }
    send.disabled = false;
  });
  $(".tabs", box).after(form);
  form.querySelector("input, select, textarea, button.strong").focus({ preventScroll: true });
}
function call(url, method, body) {
  const headers = {};
  const now = session.read();
  if (now) headers.authorization = `Bearer ${now.access}`;
  if (body !== undefined) headers["content-type"] = method.file ? "application/xml" : "application/json";
  return fetch(url, { method: method.verb, headers, body });
}
async function shown(answer, millis, method, url) {
  const text = await answer.text();
  let data = null;
  try { data = JSON.parse(text); } catch { /* shown as it is */ }
  const code = make("code", {}, data === null ? text || "(nothing)" : JSON.stringify(data, null, 2));
  const caption = make("figcaption", {},
    make("span", {}, make("b", { class: answer.ok ? "good" : "wrong" }, `${answer.status}`),
      ` ${millis} ms · ${answer.headers.get("x-request-id") || method.verb}`),
    copyButton(() => code));
  const figure = make("figure", { class: "said", title: url }, caption);
  const reason = data?.details?.find?.((detail) => detail.reason)?.reason;
  if (!answer.ok && reason) {
    const hint = make("p", { class: "hint" }, make("code", {}, reason), ` ${(api.fixes[reason] || data.message || "").replaceAll("`", "")} `);
    if (answer.status === 401 && !session.read()) hint.append(make("button", { type: "button", class: "button", onclick: enter }, "Sign in"));
    figure.append(hint);
  }
  figure.append(make("pre", { tabindex: "0" }, code));
  return figure;
}

// Finding: every word must be in a method's name, path, fields or errors.
const find = $("#find");
const results = () => $$("nav [data-find]:not([hidden]) a");
let chosen = -1;
function choose(index) {
  const all = results();
  all.forEach((link) => link.classList.remove("chosen"));
  chosen = all.length ? (index + all.length) % all.length : -1;
  all[chosen]?.classList.add("chosen");
  all[chosen]?.scrollIntoView({ block: "nearest" });
}
find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let any = false;
  for (const group of $$("nav ul[data-group]")) {
    let some = false;
    for (const item of $$("[data-find]", group)) {
      item.hidden = !words.every((word) => item.dataset.find.includes(word));
      some ||= !item.hidden;
    }
    group.hidden = !some;
    any ||= some;
  }
  $("nav .fixed").hidden = words.length > 0;
  $("#none").hidden = any;
  if (words.length) choose(0); else $$("nav .chosen").forEach((link) => link.classList.remove("chosen"));
});
find.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
  } else if (event.key === "Enter") {
    const link = results()[Math.max(chosen, 0)];
    if (link) { link.click(); find.blur(); }
  } else if (event.key === "Escape") {
    find.value = "";
    find.dispatchEvent(new Event("input"));
    find.blur();
  }
});

// The list of methods on a phone.
function menu(open) {
  document.body.classList.toggle("menu", open);
  $("#menu").setAttribute("aria-expanded", String(open));
}
$("#menu").addEventListener("click", () => menu(!document.body.classList.contains("menu")));
$("#nav").addEventListener("click", (event) => { if (event.target.closest("a")) menu(false); });
$("#content").addEventListener("click", () => menu(false));

// Keys.
const articles = $$("article");
let here = articles[0];
addEventListener("keydown", (event) => {
  if (event.key === "Escape") menu(false);
  if (event.ctrlKey || event.metaKey || event.altKey || door.open || event.target.closest?.("input, select, textarea")) return;
  const top = root.scrollTop + 80;
  const actions = {
    "/": () => { if (innerWidth <= 896) menu(true); find.focus(); find.select(); },
    j: () => articles.find((article) => article.offsetTop > top + 4)?.scrollIntoView(),
    k: () => articles.findLast((article) => article.offsetTop < top - 4)?.scrollIntoView(),
    t: () => { const box = $(".snippets", here), method = methods.get(here.id); if (method) { box.scrollIntoView({ block: "nearest" }); openTrial(box, method); } },
    s: enter,
  };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
});

// Where the reader is.
const links = new Map($$("nav li a:not(.group)").map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    links.get(entry.target.id)?.classList.toggle("here", entry.isIntersecting);
    if (entry.isIntersecting) {
      if (entry.target.tagName === "ARTICLE") here = entry.target;
      links.get(entry.target.id)?.scrollIntoView({ block: "nearest" });
    }
  }
}, { rootMargin: "-20% 0px -70% 0px" });
for (const target of [...articles, ...$$("#top, #errors, #tools")]) watcher.observe(target);
