"use strict";
// The examples call the address that this page came from.
const here = location.origin;
if (here.startsWith("http")) {
  for (const code of document.querySelectorAll("pre code, .guide p code")) {
    code.textContent = code.textContent
      .replaceAll("http://localhost:8080", here)
      .replaceAll("localhost:8080", location.host);
  }
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const text = button.closest("figure").querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.closest("figure").querySelector("code"));
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

const root = document.documentElement;
try { if (localStorage.theme) root.dataset.theme = localStorage.theme; } catch { /* no storage, no memory */ }
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.theme = root.dataset.theme; } catch { /* as above */ }
});

const find = document.getElementById("find");
find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let any = false;
  for (const group of document.querySelectorAll("nav ul[data-group]")) {
    let some = false;
    for (const item of group.querySelectorAll("[data-find]")) {
      item.hidden = !words.every((word) => item.dataset.find.includes(word));
      some ||= !item.hidden;
    }
    group.hidden = !some;
    any ||= some;
  }
  document.querySelector("nav").classList.toggle("finding", words.length > 0);
  document.getElementById("none").hidden = any;
});
addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== find) {
    event.preventDefault();
    find.focus();
  }
  if (event.key === "Enter" && document.activeElement === find) {
    document.querySelector("nav [data-find]:not([hidden]) a")?.click();
  }
});

const links = new Map([...document.querySelectorAll("nav [data-find] a")].map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) links.get(entry.target.id)?.classList.toggle("here", entry.isIntersecting);
}, { rootMargin: "-20% 0px -70% 0px" });
for (const article of document.querySelectorAll("article")) watcher.observe(article);
