// The failover order: by dragging rows, and by the arrow buttons. With this script a move is said, and the focus stays on
// the button; without it the buttons send the form.
import { localise, tick } from "./clocks.js";

const form = () => document.getElementById("failover-order");
const body = () => document.querySelector("tbody[data-order]");
const rows = () => [...document.querySelectorAll("tbody[data-order] tr")];
const say = (text) => { document.getElementById("said").textContent = text; };
let dragged = null, before = [];

function arm() { for (const r of rows()) r.draggable = r.querySelector(".grip") !== null; }

async function send(moved, focus) {
  const ids = rows().map((r) => r.dataset.id), name = moved.dataset.name;
  const sent = new URLSearchParams(ids.map((id) => ["id", id]));
  const reply = await fetch(form().action, { method: "POST", body: sent, headers: { accept: "text/html" } }).catch(() => null);
  if (!reply) { say(`${name} was not moved: the server does not answer.`); restore(); return; }
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  const part = document.getElementById("instances"), now = page.getElementById("instances");
  if (!now) { location.reload(); return; }
  part.innerHTML = now.innerHTML;
  localise(part); tick(part); arm();
  const at = rows().findIndex((r) => r.dataset.id === moved.dataset.id) + 1;
  say(reply.ok ? `${name} stands ${at} of ${rows().filter((r) => r.draggable).length} in the failover order.` : `${name} was not moved.`);
  const button = focus && document.getElementById(focus);
  if (button) (button.disabled ? button.parentElement.querySelector("button:enabled") : button)?.focus();
}
function restore() { body()?.append(...before); }

document.addEventListener("submit", (ev) => {
  if (ev.target !== form() || !ev.submitter?.name) return;
  ev.preventDefault();
  const up = ev.submitter.name === "up", row = rows().find((r) => r.dataset.id === ev.submitter.value);
  const other = up ? row.previousElementSibling : row.nextElementSibling;
  if (!other) return;
  before = rows();
  other[up ? "before" : "after"](row);
  send(row, ev.submitter.id);
});
const row = (ev) => ev.target.closest?.("tbody[data-order] tr");
document.addEventListener("dragstart", (ev) => {
  dragged = row(ev) ?? null;
  if (!dragged) return;
  before = rows();
  body().dataset.dragging = "";
  ev.dataTransfer.effectAllowed = "move"; ev.dataTransfer.setData("text/plain", dragged.dataset.name);
});
document.addEventListener("dragover", (ev) => {
  const over = row(ev);
  if (!dragged || !over) return;
  ev.preventDefault();
  if (over === dragged) return;
  const box = over.getBoundingClientRect();
  over[ev.clientY < box.top + box.height / 2 ? "before" : "after"](dragged);
});
document.addEventListener("drop", (ev) => {
  if (!dragged || !row(ev)) return;
  ev.preventDefault();
  const moved = dragged;
  dragged = null;
  if (before.some((r, n) => r !== rows()[n])) send(moved);
});
// Let go anywhere else, or given up with Escape: as it was.
document.addEventListener("dragend", () => {
  if (body()) delete body().dataset.dragging;
  if (dragged) restore();
  dragged = null;
});
addEventListener("fresh", arm);
arm();
