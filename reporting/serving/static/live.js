// Puts the parts of a page where they belong as the server sends them, and says when it sends no more.
// The page has: one element with an id for each part; #lost, hidden, with #lost-why; times as <time class="since">.
"use strict";

const SILENT_MS = 15000;
const lost = document.getElementById("lost");
const why = document.getElementById("lost-why");
let ahead = 0;
let timer = null;

function sayLost(reason) {
  why.textContent = reason;
  lost.hidden = false;
}

function expectWord() {
  clearTimeout(timer);
  timer = setTimeout(() => sayLost("Nothing has come for 15 seconds: what is shown may be old."), SILENT_MS);
}

// A part is replaced as it is, but for what its reader does with it: focus, opened details, scrolled tables.
function put(id, html) {
  const part = document.getElementById(id);
  if (part === null) return;
  const kept = [...part.querySelectorAll("[id]")].map((one) => [one.id, one.scrollLeft, one.open === true]);
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  part.innerHTML = html;
  for (const [name, left, open] of kept) {
    const one = document.getElementById(name);
    if (one === null) continue;
    one.scrollLeft = left;
    if (open) one.open = true;
  }
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function long(seconds) {
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

// The server sends moments; how long ago they are changes here, so that nothing is sent when nothing happens.
function tick() {
  const now = Date.now() / 1000 + ahead;
  for (const time of document.querySelectorAll("time.since")) {
    const text = long(now - Date.parse(time.dateTime) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

const source = new EventSource("events");
source.onmessage = (event) => {
  const told = JSON.parse(event.data);
  ahead = told.now - Date.now() / 1000;
  for (const [id, html] of Object.entries(told.parts)) put(id, html);
  if (told.trouble) sayLost(`The server cannot bring the page up to date (${told.trouble}): what is shown is old. See its log.`);
  else lost.hidden = true;
  expectWord();
  tick();
};
source.onerror = () => sayLost("The server does not answer: what is shown is old. It is asked again every few seconds; if it was ended, start it again.");
expectWord();
setInterval(tick, 1000);
