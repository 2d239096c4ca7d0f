// Which check is under the pointer, in words. One tooltip for the page.
const word = { u: "up", s: "slow or degraded", p: "down from some locations", d: "down", m: "maintenance", ".": "no result" };
export function tally() {
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  document.addEventListener("pointermove", (ev) => {
    const svg = ev.target.closest?.(".tally");
    if (!svg) { tip.hidden = true; return; }
    const box = svg.getBoundingClientRect(), all = svg.dataset.tally;
    const back = Math.floor((box.right - ev.clientX) / 4), at = all.length - 1 - back, letter = all[at];
    if (!letter) { tip.hidden = true; return; }
    let from = at, to = at;
    while (from > 0 && all[from - 1] === letter) from--;
    while (to < all.length - 1 && all[to + 1] === letter) to++;
    const run = to - from + 1;
    tip.textContent = `${back ? `${back} ${back === 1 ? "check" : "checks"} ago` : "latest"}: ${word[letter]}${run > 1 ? `, ${run} in a row` : ""}`;
    if (tip.parentElement !== svg.parentElement) svg.after(tip);
    tip.style.left = `${ev.clientX - svg.parentElement.getBoundingClientRect().left}px`;
    tip.hidden = false;
  }, { passive: true });
}
