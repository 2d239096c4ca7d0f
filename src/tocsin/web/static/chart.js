// The response chart: uPlot drawn with the tokens' colours. Gaps stay gaps; down is ground; figures also stand in a table.
const box = document.getElementById("plot");
const token = (name) => {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
};
const dashes = [[], [6, 3], [], [2, 2], [8, 2, 2, 2], []];
const hm = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dm = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const both = (t) => `${dm.format(t * 1000)}, ${hm.format(t * 1000)}`;
const ms = (v) => v == null ? "none" : v >= 10000 ? `${(v / 1000).toFixed(1)} s` : `${v < 10 ? v.toFixed(1) : Math.round(v).toLocaleString("en")} ms`;
let plot = null, data = null, range = box?.dataset.range;

async function load() {
  const reply = await fetch(`/monitors/${encodeURIComponent(box.dataset.monitor)}/chart?range=${range}&location=${encodeURIComponent(box.dataset.location ?? "")}`);
  if (!reply.ok) {
    box.textContent = "Response times could not be loaded. Checks and alerts go on.";
    plot = null;
    return;
  }
  data = await reply.json();
  draw();
}

function ground(u) {
  const c = u.ctx, { left, top, width, height } = u.bbox;
  c.save();
  c.beginPath(); c.rect(left, top, width, height); c.clip();
  for (const b of data.bands) {
    const x = u.valToPos(b.from, "x", true), w = Math.max(2, u.valToPos(b.to, "x", true) - x);
    c.globalAlpha = b.value === "down" ? 0.12 : 0.08;
    c.fillStyle = token(b.value === "down" ? "--down-fill" : "--ink");
    c.fillRect(x, top, w, height);
  }
  c.restore();
}

// A limit on the scale is a dashed line with its figure; one above the scale is named at the edge.
function limit(u) {
  const c = u.ctx, { left, top, width } = u.bbox, px = devicePixelRatio, ink = token("--ink-2");
  c.save();
  c.font = `${12 * px}px system-ui`; c.fillStyle = c.strokeStyle = ink; c.textAlign = "right"; c.lineWidth = px;
  data.limits.forEach((value, n) => {
    const y = u.valToPos(value, "y", true), off = y < top;
    if (!off) { c.setLineDash([2 * px, 3 * px]); c.beginPath(); c.moveTo(left, y); c.lineTo(left + width, y); c.stroke(); }
    const at = off ? top + (12 + 14 * n) * px : y - top < 16 * px ? y + 14 * px : y - 4 * px;
    c.fillText(`limit ${ms(value)}${off ? " ↑" : ""}`, left + width - 4 * px, at);
  });
  c.restore();
}

function tip() {
  let el = null;
  return { hooks: {
    init: (u) => { el = Object.assign(document.createElement("div"), { className: "plot-tip", hidden: true }); u.over.append(el); },
    setCursor: (u) => {
      const i = u.cursor.idx;
      if (i == null || u.cursor.left < 0) { el.hidden = true; return; }
      el.replaceChildren(...[["", both(data.at[i])], ...data.lines.map((l) => [l.name, ms(l.avg[i])])].map(([k, v]) => {
        const row = document.createElement("div"), b = document.createElement("b");
        b.textContent = v;
        row.append(k, b);
        return row;
      }));
      el.hidden = false;
      const right = u.cursor.left > u.over.clientWidth / 2;
      el.style.left = right ? "auto" : `${u.cursor.left + 12}px`;
      el.style.right = right ? `${u.over.clientWidth - u.cursor.left + 12}px` : "auto";
    },
  } };
}

function draw() {
  const ink3 = token("--ink-3"), line = token("--line"), paper = token("--paper");
  const many = data.lines.length > 1;
  const series = [{}], columns = [data.at], bands = [];
  data.lines.forEach((l, n) => {
    const colour = token(many ? `--s${n % 6 + 1}` : "--ink-2");
    if (!many) {
      series.push({ label: "high", stroke: "transparent", points: { show: false } }, { label: "low", stroke: "transparent", points: { show: false } });
      columns.push(l.high, l.low);
      bands.push({ series: [1, 2], fill: token("--line") });
    }
    const alone = (u, s, i) => l.avg[i] != null && l.avg[i - 1] == null && l.avg[i + 1] == null;
    series.push({ label: l.name, stroke: colour, width: 1.5, dash: dashes[n % 6], spanGaps: false, points: { show: true, size: 4, fill: paper, filter: (u, s) => l.avg.map((_, i) => alone(u, s, i) ? i : -1).filter((i) => i >= 0) } });
    columns.push(l.avg);
  });
  plot?.destroy();
  box.replaceChildren();
  const seen = data.lines.flatMap((l) => l.avg).filter((v) => v != null);
  box.setAttribute("aria-label", seen.length ? `Response time from ${both(data.from)} to ${both(data.to)}: between ${ms(Math.min(...seen))} and ${ms(Math.max(...seen))}.${data.limits.map((l) => ` The limit is ${ms(l)}.`).join("")}` : "No response time in this range.");
  document.getElementById("chart-caption").textContent = `Each point is ${data.step_s < 120 ? "a minute" : data.step_s < 7200 ? `${data.step_s / 60} min` : `${data.step_s / 3600} h`}${many ? "" : ", average with its range"}. Gaps are checks with no response.`;
  plot = new uPlot({
    width: box.clientWidth, height: 272, padding: [12, 28, 0, 0],
    series, bands, legend: { show: false }, plugins: [tip()],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { range: [data.from, data.to + data.step_s] }, y: { range: (u, lo, hi) => [0, Math.max(1, hi == null ? 100 : hi * 1.12)] } },
    axes: [
      { stroke: ink3, grid: { show: false }, ticks: { stroke: line, width: 1 }, font: "12px system-ui", values: (u, t) => t.map((v) => data.to - data.from > 90000 ? dm.format(v * 1000) : hm.format(v * 1000)) },
      { stroke: ink3, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px system-ui", size: 68, values: (u, t) => t.map((v) => v ? ms(v) : "0") },
    ],
    hooks: { drawClear: [ground], draw: [limit] },
  }, columns, box);
  const body = document.querySelector("#plot-table tbody");
  if (body.closest("details").open) table(body);
}

function table(body) {
  const rows = [];
  for (let i = data.at.length - 1; i >= 0; i--) for (const l of data.lines) {
    if (l.count[i] == null) continue;
    const tr = document.createElement("tr");
    [both(data.at[i]), l.name, l.count[i], ms(l.avg[i]), ms(l.p95[i])].forEach((v, n) => { const td = document.createElement("td"); td.textContent = v; if (n > 1) td.className = "num"; tr.append(td); });
    rows.push(tr);
  }
  body.replaceChildren(...rows);
}

if (box) {
  load();
  document.querySelector("#plot-table").closest("details").addEventListener("toggle", () => { if (data) table(document.querySelector("#plot-table tbody")); });
  for (const a of document.querySelectorAll("[data-range]:not(#plot)")) a.addEventListener("click", (ev) => {
    ev.preventDefault();
    range = a.dataset.range;
    document.querySelectorAll("[data-range][aria-current]").forEach((o) => o.removeAttribute("aria-current"));
    a.setAttribute("aria-current", "true");
    history.replaceState(null, "", `?range=${range}${box.dataset.location ? `&location=${encodeURIComponent(box.dataset.location)}` : ""}`);
    load();
  });
  new ResizeObserver(() => { if (plot && plot.width !== box.clientWidth) plot.setSize({ width: box.clientWidth, height: 272 }); }).observe(box);
  addEventListener("theme", () => { if (data) draw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (data) draw(); });
  let due = 0;
  addEventListener("fresh", () => { clearTimeout(due); due = setTimeout(load, 1500); });
}
