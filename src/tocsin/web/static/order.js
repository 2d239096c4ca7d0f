// The failover order by dragging rows. The arrow buttons do the same without a mouse, and without this script.
const form = () => document.getElementById("failover-order");
let dragged = null;

function row(ev) { return ev.target.closest?.("tbody[data-order] tr"); }

function arm() {
  for (const r of document.querySelectorAll("tbody[data-order] tr")) r.draggable = true;
}
document.addEventListener("dragstart", (ev) => {
  dragged = row(ev) ?? null;
  if (dragged) { ev.dataTransfer.effectAllowed = "move"; ev.dataTransfer.setData("text/plain", dragged.dataset.id); }
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
  if (!dragged || !form()) return;
  ev.preventDefault();
  form().replaceChildren(...[...document.querySelectorAll("tbody[data-order] tr")].map((r) => {
    const input = document.createElement("input");
    input.type = "hidden"; input.name = "id"; input.value = r.dataset.id;
    return input;
  }));
  dragged = null;
  form().requestSubmit();
});
addEventListener("fresh", arm);
arm();
