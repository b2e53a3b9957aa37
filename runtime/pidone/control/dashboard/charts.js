// The last hour, as the runtime remembers it, and what has come since.
const SVG = "http://www.w3.org/2000/svg", HOUR = 3600;
const past = new Map(), recent = new Map(), limits = new Map();
let marks = [], until = 0, born = Infinity;
function hour(plot) { // the same for all charts: what is above each other happened at the same time
  const now = Date.now() / 1000;
  return [Math.max(now - HOUR, Math.min(born, now - 60, plot.data?.[0][0] ?? now)), now];
}

async function remembered() {
  const history = await ask("/api/history?points=120");
  until = history.until;
  marks = history.marks;
  past.clear();
  for (const app of history.apps) {
    const begin = history.until - history.step_s * (app.cpu_percent.length - 0.5);
    past.set(keyOf(app), { at: app.cpu_percent.map((_, i) => begin + i * history.step_s), cpu: app.cpu_percent, memory: app.memory_bytes });
  }
  for (const [key, parts] of tiles) { drawSpark(key, parts); parts.drawn?.forEach(chart => chart.renew()); }
}
function remember(app, cpu, memory, limit) {
  const key = keyOf(app), points = recent.get(key) || [], now = Date.now() / 1000;
  points.push([now, memory ? cpu : null, memory || null]);
  recent.set(key, points.filter(point => point[0] > until).slice(-60));
  limits.set(key, limit || null);
  tiles.get(key)?.drawn?.forEach(chart => chart.renew());
}
function dataOf(key, name) {
  const { at, cpu, memory } = past.get(key) || { at: [], cpu: [], memory: [] }, since = recent.get(key) || [];
  const values = name === "cpu" ? cpu : memory, column = name === "cpu" ? 1 : 2;
  const shown = since.filter(point => point[0] > (at.at(-1) ?? 0));
  return [[...at, ...shown.map(point => point[0])], [...values, ...shown.map(point => point[column])]];
}
const marksOf = key => marks.filter(mark => mark.app === null || keyOf({ namespace: mark.namespace, name: mark.app }) === key);
const MARK = { reload: "--cpu", deployment: "--cpu", scale: "--wait", limit: "--wait" };

function spark() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 119 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  return svg;
}
function drawSpark(key, parts) {
  const values = past.get(key)?.cpu || [], top = Math.max(100, ...values), line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", values.map((value, i) => `${120 - values.length + i},${19.5 - 19 * (value || 0) / top}`).join(" "));
  parts.line.replaceChildren(line);
}

// A chart is made when it comes into view: 200 apps may be unfolded.
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting && !tiles.get(entry.target.dataset.key)?.drawn) {
    const parts = tiles.get(entry.target.dataset.key);
    if (parts) parts.drawn = [chart(entry.target, "cpu"), chart(entry.target, "memory")];
  }
}, { rootMargin: "200px" });
function watchCharts(key, parts, open) {
  parts.charts.dataset.key = key;
  if (open) { seen.observe(parts.charts); return; }
  seen.unobserve(parts.charts);
  parts.drawn?.forEach(each => each.end());
  parts.drawn = null;
  parts.charts.replaceChildren();
}
function chart(parent, name) {
  const key = parent.dataset.key, title = name === "cpu" ? "CPU" : "memory", colour = variable => getComputedStyle(document.body).getPropertyValue(variable).trim();
  const text = value => value === null || value === undefined ? "nothing there" : name === "cpu" ? `${Math.round(value * 10) / 10}%` : size(value);
  const head = make("p", { className: name === "cpu" ? "c" : "m" }), tip = make("div", { className: "tip", hidden: true });
  const root = make("div", { className: "chart", tabIndex: 0 }, head, tip);
  root.setAttribute("role", "img");
  parent.append(root);
  const limit = () => name === "memory" ? limits.get(key) : null;
  const vertical = (plot, at, variable) => {
    const x = Math.round(plot.valToPos(at, "x", true));
    if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) return;
    Object.assign(plot.ctx, { strokeStyle: colour(variable), lineWidth: devicePixelRatio });
    plot.ctx.beginPath();
    plot.ctx.moveTo(x, plot.bbox.top);
    plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
    plot.ctx.stroke();
  };
  const paint = plot => {
    plot.ctx.save();
    for (const mark of marksOf(key)) vertical(plot, mark.at, MARK[mark.kind] || "--bad");
    if (limit()) {
      const y = Math.round(plot.valToPos(limit(), "y", true));
      Object.assign(plot.ctx, { strokeStyle: colour("--bad"), lineWidth: 1.5 * devicePixelRatio });
      plot.ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      plot.ctx.beginPath();
      plot.ctx.moveTo(plot.bbox.left, y);
      plot.ctx.lineTo(plot.bbox.left + plot.bbox.width, y);
      plot.ctx.stroke();
    }
    plot.ctx.restore();
  };
  const point = plot => {
    const { idx, left } = plot.cursor;
    tip.hidden = idx === null || idx === undefined || left < 0;
    if (tip.hidden) return;
    const at = plot.data[0][idx], reach = (plot.scales.x.max - plot.scales.x.min) / 60;
    const near = marksOf(key).filter(mark => Math.abs(mark.at - at) < reach).slice(-3);
    tip.textContent = [`${clock(at * 1000)}  ${text(plot.data[1][idx])}`,
      ...near.map(mark => `${mark.kind}${mark.count > 1 ? ` \u00d7${mark.count}` : ""}: ${plain(mark.text)}`)].join("\n");
    tip.style.left = `${Math.max(0, Math.min(left + 60, root.clientWidth - tip.offsetWidth))}px`;
  };
  const grid = { stroke: colour("--line"), width: 1 }, font = "11px system-ui, sans-serif", stroke = colour("--dim");
  const plot = new uPlot({
    width: Math.max(200, root.clientWidth), height: 118, legend: { show: false }, padding: [6, 20, 0, 0],
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { time: true, range: hour },
      y: { range: (_, low, high) => [0, Math.max(name === "cpu" ? 10 : 1048576, (high || 0) * 1.15, (limit() || 0) * 1.08)] } },
    axes: [{ stroke, font, grid, ticks: grid, size: 24, space: 70, values: (_, splits) => splits.map(at => clock(at * 1000).slice(0, splits.at(-1) - splits[0] < 600 ? 8 : 5)) },
      { stroke, font, grid, ticks: grid, size: 48, space: 26, values: (_, splits) => splits.map(value => name === "cpu" ? `${value}%` : size(value).replace(/\.0+ /, " ")),
        incrs: name === "cpu" ? undefined : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024, 2048, 5120, 10240, 20480, 51200].map(n => n * 1048576) }],
    series: [{}, { stroke: colour(name === "cpu" ? "--cpu" : "--memory"), fill: `${colour(name === "cpu" ? "--cpu" : "--memory")}22`, width: 1.5, points: { show: false } }],
    hooks: { draw: [paint], setCursor: [point] },
  }, dataOf(key, name), root);
  const renew = () => {
    const data = dataOf(key, name), most = Math.max(0, ...data[1]), now = data[1].at(-1);
    plot.setData(data);
    const isEmpty = !most && !data[1].some(value => value !== null);
    root.classList.toggle("empty", isEmpty);
    put(head, `${title}: ${isEmpty ? "nothing to show for the last hour"
      : `${text(now)} now, at most ${text(most)}`}${limit() ? `, limit ${size(limit())}` : ""}`);
    root.ariaLabel = `${tiles.get(key)?.fold.textContent ?? key}: ${head.textContent}, last hour`;
  };
  root.onkeydown = event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(plot.data[0].length - 1, (plot.cursor.idx ?? plot.data[0].length - 1) + step));
    plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: 10 });
  };
  root.onblur = () => { tip.hidden = true; };
  const fit = new ResizeObserver(() => { if (root.clientWidth && root.clientWidth !== plot.width) plot.setSize({ width: root.clientWidth, height: 118 }); });
  fit.observe(root);
  renew();
  return { renew, end: () => { fit.disconnect(); plot.destroy(); } };
}
