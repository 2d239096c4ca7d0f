// A monitor's form: add and remove an assertion, offer only what fits its type. All by delegation, since another check type swaps the rows.
const type = (row) => row.querySelector("[name='assertion.type']");
const fit = (row) => {
  row.classList.toggle("no-name", !["header", "json_path"].includes(type(row).value));
  const ops = row.querySelector("[name='assertion.op']"), fitting = type(row).selectedOptions[0].dataset.ops.split(" ");
  for (const o of ops.options) { o.hidden = o.disabled = !fitting.includes(o.value); }
  if (ops.selectedOptions[0]?.disabled ?? true) ops.value = fitting[0];
};
// The channels' boxes mean something only where channels are chosen.
const boxes = () => {
  const chosen = document.querySelector("[name=channels_mode][value=chosen]");
  if (chosen) for (const box of document.querySelectorAll("input[name=channels]")) box.disabled = !chosen.checked;
};
const settle = () => { document.querySelectorAll("#assertions .assertion").forEach(fit); boxes(); };

export function forms() {
  settle();
  document.addEventListener("htmx:after:swap", settle);
  document.addEventListener("click", (ev) => {
    const removing = ev.target.closest("[data-remove-row]");
    if (removing) return removing.closest("[data-row]").remove();
    if (ev.target.closest("#add-assertion")) {
      ev.preventDefault();
      const row = document.getElementById("blank-assertion").content.firstElementChild.cloneNode(true);
      document.getElementById("assertions").append(row);
      fit(row);
      row.querySelector("select").focus();
    } else if (ev.target.closest("#assertions [data-remove]")) {
      const form = ev.target.closest("form");
      ev.target.closest(".assertion").remove();
      document.getElementById("add-assertion").focus();
      form.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });
  document.addEventListener("change", (ev) => {
    const row = ev.target.closest?.("#assertions .assertion");
    if (row) fit(row);
    if (ev.target.name === "channels_mode") boxes();
  });
  // Destructive forms ask once more, naming what happens.
  document.addEventListener("submit", (ev) => {
    const ask = ev.submitter?.dataset.ask ?? ev.target.dataset.ask;
    if (ask && !confirm(ask)) ev.preventDefault();
  });
  // A field that was resized by hand has a style attribute, which a swap would copy and the CSP refuse.
  document.addEventListener("htmx:before:swap", () => document.querySelectorAll("input[style], textarea[style]").forEach((e) => e.removeAttribute("style")));
  const toast = document.querySelector(".toast[data-timed]");
  if (toast) setTimeout(() => toast.remove(), 8000);
}
