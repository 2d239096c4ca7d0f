// The charts of a host: uPlot drawn with the tokens' colours, a line with its range, or several lines with names at the tip.
// Gaps stay gaps and are hatched; the same figures stand in a table.
const box = document.getElementById("host-charts");
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
const plain = (v) => Math.abs(v) >= 100 || v === Math.round(v) ? Math.round(v).toLocaleString("en") : Math.abs(v) >= 0.95 ? v.toFixed(1) : String(+v.toFixed(2));
function sized(v) {
  for (const [power, unit] of [[4, "TB"], [3, "GB"], [2, "MB"], [1, "kB"]]) if (Math.abs(v) >= 0.995 * 1000 ** power) return `${plain(v / 1000 ** power)} ${unit}`;
  return `${plain(v)} B`;
}
function shown(name, v) {
  if (v == null) return "none";
  const metric = name.split("{")[0];
  if (metric.endsWith("_percent")) return `${plain(v)} %`;
  if (metric.endsWith("_bytes_per_s")) return `${sized(v)}/s`;
  if (metric.endsWith("_bytes")) return sized(v);
  if (metric.endsWith("_per_s")) return `${plain(v)} /s`;
  if (metric.endsWith("_ms")) return `${plain(v)} ms`;
  return metric.endsWith("_s") ? `${plain(v)} s` : plain(v);
}
let range = box?.dataset.range, charts = [], asked = 0;

// One request for each metric; what has one name but several labels and was asked for whole (traffic) is added up.
async function read(series) {
  const metrics = [...new Set(series.map(([name]) => series.length > 1 ? name.split("{")[0] : name))], answers = {};
  let step = 60;
  for (const metric of metrics) {
    const reply = await fetch(`/api/v1/hosts/${encodeURIComponent(box.dataset.host)}/series?metric=${encodeURIComponent(metric)}&window=${range}`, { headers: { accept: "application/json" } });
    if (!reply.ok) throw new Error(String(reply.status));
    const data = await reply.json();
    answers[metric] = data.series;
    step = data.step_s;
  }
  const lines = series.map(([name, word]) => {
    const all = answers[name] ?? answers[name.split("{")[0]];
    const own = name.includes("{") ? all.filter((s) => s.name === name) : all.filter((s) => s.labels.interface !== "containers");
    return { name, word, ...added(own) };
  });
  return { step, at: lines[0].at, lines };
}
function added(parts) {
  const at = parts[0]?.points.map((p) => Date.parse(p.at) / 1000) ?? [];
  const sum = (key) => at.map((_, i) => parts.reduce((total, s) => s.points[i]?.[key] == null ? total : (total ?? 0) + s.points[i][key], null));
  return { at, avg: sum("avg"), low: sum("min"), high: sum("max") };
}

function hatch(u) {
  const c = u.ctx, { left, top, width, height } = u.bbox, at = u.data[0], px = devicePixelRatio;
  c.save();
  c.strokeStyle = token("--line-2"); c.lineWidth = px;
  const seen = at.map((_, i) => u.data.slice(1).some((column) => column[i] != null));
  for (let i = 0; i < at.length; i++) {
    if (seen[i] || (i && !seen[i - 1])) continue;
    let j = i;
    while (j + 1 < at.length && !seen[j + 1]) j++;
    if (j - i < 1) continue;
    const x = Math.max(left, u.valToPos(at[i], "x", true)), to = Math.min(left + width, u.valToPos(at[j], "x", true));
    c.save(); c.beginPath(); c.rect(x, top, to - x, height); c.clip(); c.beginPath();
    for (let d = x - height; d < to; d += 6 * px) { c.moveTo(d, top + height); c.lineTo(d + height, top); }
    c.stroke(); c.restore();
  }
  c.restore();
}
const limit = (value) => (u) => {
  if (value == null) return;
  const c = u.ctx, { left, top, width } = u.bbox, px = devicePixelRatio, y = u.valToPos(value, "y", true);
  if (y < top) return;
  c.save();
  c.strokeStyle = token("--ink-3"); c.lineWidth = px; c.setLineDash([2 * px, 3 * px]);
  c.beginPath(); c.moveTo(left, y); c.lineTo(left + width, y); c.stroke();
  c.restore();
};
const tip = (data) => {
  let el = null;
  return { hooks: {
    init: (u) => { el = Object.assign(document.createElement("div"), { className: "plot-tip", hidden: true }); u.over.append(el); },
    setCursor: (u) => {
      const i = u.cursor.idx;
      if (i == null || u.cursor.left < 0) { el.hidden = true; return; }
      el.replaceChildren(...[["", both(data.at[i])], ...data.lines.map((l) => [l.word, shown(l.name, l.avg[i])])].map(([k, v]) => {
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
};

function say(el, data) {
  const told = data.lines.map((l) => {
    const seen = l.avg.filter((v) => v != null);
    return seen.length ? `${data.lines.length > 1 ? `${l.word} ` : ""}between ${shown(l.name, Math.min(...l.low.filter((v) => v != null)))} and ${shown(l.name, Math.max(...l.high.filter((v) => v != null)))}` : "";
  }).filter(Boolean);
  el.setAttribute("aria-label", told.length ? `${el.dataset.name}: ${told.join("; ")}.` : `${el.dataset.name}: no figures in this range.`);
}

function draw(chart) {
  const { el, data } = chart, ink3 = token("--ink-3"), line = token("--line"), many = data.lines.length > 1;
  const series = [{}], columns = [data.at], bands = [], name = data.lines[0].name, top = +el.dataset.limit || 0;
  data.lines.forEach((l, n) => {
    if (!many) {
      series.push({ stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } });
      columns.push(l.high, l.low);
      bands.push({ series: [1, 2], fill: line });
    }
    const alone = l.avg.map((v, i) => v != null && l.avg[i - 1] == null && l.avg[i + 1] == null ? i : -1).filter((i) => i >= 0);
    series.push({ stroke: token(many ? `--s${n % 6 + 1}` : "--ink-2"), width: 1.5, dash: dashes[n % 6], spanGaps: false, points: { show: true, size: 4, filter: () => alone } });
    columns.push(l.avg);
  });
  chart.plot?.destroy();
  el.replaceChildren();
  say(el, data);
  const percent = name.split("{")[0].endsWith("_percent"), axis = { stroke: ink3, font: "12px system-ui" };
  chart.plot = new uPlot({
    width: el.clientWidth, height: 120, padding: [8, 22, 0, 0], series, bands, legend: { show: false }, plugins: [tip(data)],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (u, lo, hi) => [0, percent ? Math.max(100, hi ?? 0) : Math.max(hi == null ? 1 : hi * 1.15, top || 0.001)] } },
    axes: [
      { ...axis, grid: { show: false }, ticks: { stroke: line, width: 1 }, space: 70, values: (u, t) => t.map((v) => range === "7d" ? dm.format(v * 1000) : hm.format(v * 1000)) },
      { ...axis, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 66, space: 40, values: (u, t) => t.map((v) => v ? shown(name, v) : "0") },
    ],
    hooks: { drawClear: [hatch], draw: [limit(top || null)] },
  }, columns, el);
  if (many) key(el, data);
}

function key(el, data) {
  const list = document.createElement("p");
  list.className = "key";
  data.lines.forEach((l, n) => {
    const one = document.createElement("span"), mark = document.createElement("i");
    mark.className = `s${n % 6 + 1} line-mark`;
    one.append(mark, l.word);
    list.append(one);
  });
  el.append(list);
}

async function load() {
  asked = Date.now();
  for (const el of box.querySelectorAll(".plot")) {
    const chart = charts.find((c) => c.el === el) ?? (charts.push({ el }), charts.at(-1));
    try {
      chart.data = await read(JSON.parse(el.dataset.series));
      if (chart.data.at.length) draw(chart);
      else { el.textContent = "No figures in this range."; chart.plot = null; }
    } catch { el.textContent = "These figures could not be loaded. Checks and alerts go on."; chart.plot = null; chart.data = null; }
  }
  const step = charts.find((c) => c.data)?.data.step ?? 60;
  document.getElementById("chart-caption").textContent = `Each point is ${step < 120 ? `${step} s` : step < 7200 ? `${step / 60} min` : `${step / 3600} h`}, an average with its range`;
  if (document.getElementById("figures").open) table();
}

function table() {
  const rows = [];
  for (const { el, data } of charts) if (data) for (const l of data.lines) {
    for (let i = data.at.length - 1; i >= 0 && rows.length < 3000; i--) {
      if (l.avg[i] == null) continue;
      const tr = document.createElement("tr");
      [both(data.at[i]), data.lines.length > 1 ? `${el.dataset.name}, ${l.word}` : el.dataset.name, ...[l.avg, l.low, l.high].map((c) => shown(l.name, c[i]))].forEach((v, n) => { const td = document.createElement("td"); td.textContent = v; if (n > 1) td.className = "num"; tr.append(td); });
      rows.push(tr);
    }
  }
  document.querySelector("#plot-table tbody").replaceChildren(...rows);
}

if (box) {
  load();
  document.getElementById("figures").addEventListener("toggle", (ev) => { if (ev.target.open) table(); });
  for (const a of document.querySelectorAll("a[data-range]")) a.addEventListener("click", (ev) => {
    ev.preventDefault();
    range = a.dataset.range;
    document.querySelectorAll("[data-range][aria-current]").forEach((o) => o.removeAttribute("aria-current"));
    a.setAttribute("aria-current", "true");
    document.getElementById("charts").textContent = { "1h": "Last hour", "6h": "Last 6 hours", "24h": "Last 24 hours", "7d": "Last 7 days" }[range];
    history.replaceState(null, "", a.href);
    load();
  });
  new ResizeObserver(() => { for (const { el, plot } of charts) if (plot && plot.width !== el.clientWidth) plot.setSize({ width: el.clientWidth, height: 120 }); }).observe(box);
  const again = () => { for (const chart of charts) if (chart.data?.at.length) draw(chart); };
  addEventListener("theme", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  // A look at a host comes every few seconds; its charts are drawn anew no oftener than twice a minute.
  addEventListener("fresh", () => { if (!document.hidden && Date.now() - asked > 30000) load(); });
}
