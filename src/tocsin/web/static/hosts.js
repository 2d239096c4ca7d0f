// The list of hosts: rows that do not fit the letters in the filter are hidden as they are typed; Enter asks the server.
const filter = () => document.querySelector("#hosts-tools [data-filter]");
function sift() {
  const wanted = (filter()?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of document.querySelectorAll("#hosts-list [data-text]")) row.hidden = !wanted.every((part) => row.dataset.text.includes(part));
  for (const group of document.querySelectorAll("#hosts-list tbody.group")) group.hidden = !group.querySelector("[data-text]:not([hidden])");
}
document.addEventListener("input", (ev) => { if (ev.target === filter()) sift(); });
addEventListener("fresh", sift);
