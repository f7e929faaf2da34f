"use strict";

const MOST_ROWS = 500;
const element = (id) => document.getElementById(id);
let seen = 0;

function row(entry) {
  const { number, time, kind, ...details } = entry;
  const cells = [number, new Date(time).toLocaleTimeString(), kind ?? "", JSON.stringify(details)];
  const line = document.createElement("tr");
  for (const text of cells) {
    const cell = document.createElement("td");
    cell.textContent = text;
    line.append(cell);
  }
  return line;
}

async function look() {
  try {
    const answer = await fetch(`/sandbox/ledger?after=${seen}`);
    const { entries } = await answer.json();
    for (const entry of entries) {
      element("ledger").prepend(row(entry));
      seen = entry.number;
    }
    while (element("ledger").rows.length > MOST_ROWS) {
      element("ledger").deleteRow(-1);
    }
    element("state").textContent = seen === 0 ? "nothing has happened yet" : `${seen} entries`;
  } catch {
    element("state").textContent = "away";
  }
  setTimeout(look, 1000);
}

async function show(request) {
  const answer = await request;
  const body = await answer.json();
  if (answer.ok) {
    element("faults").value = JSON.stringify(body, null, 2);
  }
  element("said").textContent = answer.ok ? "" : body.message;
}

const put = (body) => show(fetch("/sandbox/faults", { method: "PUT", body }));

element("set").addEventListener("click", () => put(element("faults").value));
element("mend").addEventListener("click", () => put("{}"));
element("down").addEventListener("click", () => put('{"down": true}'));
element("clear").addEventListener("click", async () => {
  await fetch("/sandbox/ledger", { method: "DELETE" });
  element("ledger").replaceChildren();
  seen = 0;
});

show(fetch("/sandbox/faults"));
look();
