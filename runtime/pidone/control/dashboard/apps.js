// The container, what is not ready, and an app each: a line that unfolds.
const tiles = new Map(), last = new Map(), unfolded = new Map();
let mayAct = false, known = [];

async function act(app, label, verb, body) {
  try {
    await ask(`/api/apps/${pathOf(app)}/${verb}`, "POST", body);
    find("said").textContent = `${label} ${app.name}`;
    refresh();
  } catch (error) { find("said").textContent = error.message; }
}

// Those that take something away ask: the same button has to be pressed once more within four seconds.
const ACTIONS = [["reload", "reload"], ["restart", "restart", null, true], ["stop", "stop", null, true], ["start", "start"],
  ["scale up", "scale", { instances: "+1" }], ["scale down", "scale", { instances: "-1" }, true]];
const MEANS = { reload: "each new process is ready before its old one leaves", restart: "all instances end and start afresh",
  stop: "all its processes end", start: "it is started", "scale up": "one instance more", "scale down": "one instance less" };
function button(app, label, verb, body, asks) {
  const element = make("button", { type: "button", textContent: label, ariaLabel: `${label} ${app.name}`,
    title: `${label} ${app.name}: ${MEANS[label]}` });
  const calm = () => { element.textContent = label; element.ariaLabel = `${label} ${app.name}`; element.className = ""; };
  element.dataset.does = label;
  element.onclick = () => {
    if (asks && !element.className) {
      element.textContent = `${label}: sure?`;
      element.ariaLabel = `${label}: sure? press again: ${app.name}`;
      element.className = "sure";
      setTimeout(calm, 4000);
      return;
    }
    calm();
    act(app, label, verb, body);
  };
  return element;
}
function senseless(app, label) {
  const stopped = app.instances.every(i => i.state === "stopped");
  return label === "start" ? app.instances.every(i => !["stopped", "errored", "completed"].includes(i.state))
    : label === "stop" ? stopped : label === "reload" ? stopped
    : label === "scale down" ? app.scale <= 1 : false;
}

function reasons(app) {
  const waits = app.instances.map(i => i.retry_in_s).filter(s => s !== null);
  const retry = waits.length ? `next try in ${Math.ceil(Math.min(...waits))} s` : "";
  return [plain(app.why), retry].filter(Boolean).join(", ");
}
// What stands between backquotes is to be typed.
const spelt = text => text.split("`").map((part, i) => i % 2 ? make("code", { textContent: part }) : part);
async function explain(apps, runtime) {
  const sick = apps.filter(app => rank(app) < 3).sort((a, b) => rank(a) - rank(b));
  accuse(sick, runtime); // at once, and with what they have said as soon as that is here
  await Promise.all(sick.slice(0, 3).map(async app => {
    try {
      const { records } = await ask(`/api/logs?err=1&lines=3&app=${pathOf(app)}`);
      last.set(keyOf(app), records.map(parse).filter(r => r.stream).map(r => plain(String(r.message ?? r.msg ?? "")))
        .filter((line, i, all) => line !== all[i - 1]));
    } catch { last.delete(keyOf(app)); }
  }));
  if (sick.length) accuse(sick, runtime);
}
function accuse(sick, runtime) {
  const banner = find("banner");
  const parts = sick.slice(0, 3).flatMap(app => {
    const words = app.state === "online" || (last.get(keyOf(app)) || []).every(line => plain(app.why).includes(line)) ? [] : last.get(keyOf(app));
    return [make("p", {}, make("strong", { textContent: `${app.name} ${app.state}` }), `: ${reasons(app)}`),
      ...app.advice ? [make("p", { className: "todo" }, "To do: ", ...spelt(app.advice))] : [],
      ...words.length ? [make("pre", { textContent: words.join("\n") })] : []];
  });
  if (sick.length > 3) parts.push(make("p", { className: "dim", textContent: `and ${sick.length - 3} more: ${sick.slice(3, 9).map(app => app.name).join(", ")}${sick.length > 9 ? ", \u2026" : ""}` }));
  parts.push(...runtime.warnings.map(each => make("p", {}, make("strong", { textContent: `${each.event}${each.app ? ` ${each.app}` : ""}` }),
    `: ${plain(each.message)}`, ...each.advice ? [" \u2192 ", ...spelt(each.advice)] : [])));
  banner.hidden = !parts.length;
  const text = parts.map(part => part.textContent).join("\n");
  if (banner.dataset.text === text) return;
  banner.dataset.text = text;
  banner.className = runtime.ready ? "mild" : "";
  banner.replaceChildren(make("h2", { textContent: runtime.ready ? "Ready, but not well" : "Not ready" }), ...parts);
}

// -- the container
const gauges = new Map();
function gauge(name, text, share, told) {
  if (!gauges.has(name)) {
    const bar = make("i"), parts = { value: make("b"), told: make("span"), bar, rail: make("div", {}, bar) };
    parts.root = make("div", { className: "gauge" }, make("span", { textContent: name }), parts.value, parts.told, parts.rail);
    parts.rail.setAttribute("role", "meter");
    parts.rail.setAttribute("aria-label", name);
    gauges.set(name, parts);
    find("box").append(parts.root);
  }
  const parts = gauges.get(name);
  put(parts.value, text);
  put(parts.told, told);
  parts.rail.hidden = share === null;
  if (share === null) return;
  const percent = Math.max(0, Math.min(100, Math.round(share)));
  parts.bar.style.width = `${percent}%`;
  parts.rail.className = percent >= 90 ? "bad" : percent >= 75 ? "wait" : "good";
  parts.rail.setAttribute("aria-valuenow", percent);
}
let before = null;
function showBox(box, at) {
  const limit = box.memory.limit_bytes, used = box.memory.working_set_bytes, cpu = box.cpu;
  gauge("memory", size(used), limit && used !== null ? 100 * used / limit : null, limit ? `of ${size(limit)}` : "no limit");
  // By the runtime's clock: the page may have waited for its answers.
  const passed = before && at - before.at, cpus = passed > 0 && cpu.usage_s !== null ? (cpu.usage_s - before.cpu.usage_s) / passed : null;
  const periods = before ? cpu.periods - before.cpu.periods : 0;
  const held = periods ? 100 * (cpu.throttled_periods - before.cpu.throttled_periods) / periods : 0;
  gauge("CPU", cpus === null ? "-" : `${Math.round(100 * cpus)}%`, cpus === null ? null : 100 * cpus / box.cpus, `of ${box.cpus * 100}% quota`);
  gauge("throttled", `${Math.round(held)}%`, held, `${cpu.throttled_periods} of ${cpu.periods} periods`);
  gauge("OOM kills", String(box.oom_kills ?? "-"), null, box.oom_kills ? "the kernel ended processes" : "since the start");
  for (const name of ["cpu", "memory", "io"]) {
    const stall = box.pressure[name];
    if (stall && stall.some !== null) gauge(`waiting for ${name}`, `${Math.round(stall.some)}%`, stall.some,
      stall.scope === "host" ? "PSI, whole machine" : "PSI, container");
  }
  before = { at, cpu };
}

// -- one app
function tile(app) {
  const key = keyOf(app), span = className => make("span", { className });
  const parts = { fold: make("button", { type: "button", textContent: app.name }), state: span("state"), ready: span("dim"), cpu: span("c"),
    memory: span("m"), restarts: span("dim"), line: spark(), why: span("why dim"), body: make("tbody"),
    charts: make("div", { className: "charts" }), actions: make("div", { className: "actions" }), drawn: null };
  for (const [label, verb, body, asks] of ACTIONS) parts.actions.append(button(app, label, verb, body, asks));
  const head = make("tr", {}, ...["#", "state", "pid", "up", "restarts", "cpu", "memory"].map(
    text => make("th", { textContent: text, scope: "col" })));
  parts.inside = make("div", { className: "body", hidden: true },
    make("div", { className: "wide" }, make("table", {}, make("thead", {}, head), parts.body)), parts.charts, parts.actions);
  parts.fold.onclick = () => unfold(key, parts.inside.hidden, true);
  parts.root = make("article", { className: "tile", ariaLabel: app.name }, make("div", { className: "head" },
    make("h3", {}, parts.fold), parts.state, parts.ready, parts.cpu, parts.memory, parts.restarts, parts.line, parts.why), parts.inside);
  find("app").append(make("option", { value: key, textContent: app.name }));
  tiles.set(key, parts);
  return parts;
}
function unfold(key, open, chosen = false) {
  const parts = tiles.get(key);
  if (chosen) unfolded.set(key, open);
  parts.fold.setAttribute("aria-expanded", open);
  if (parts.inside.hidden !== open) return;
  parts.inside.hidden = !open;
  const app = known.find(each => keyOf(each) === key);
  if (open && app) fill(app, parts);
  watchCharts(key, parts, open);
}
function fill(app, parts) {
  const cells = app.instances.map(i => [i.index, i.state, i.pid ?? "-", time(i.uptime_s), i.restarts,
    i.cpu_percent === null ? "-" : `${Math.round(i.cpu_percent)}%`, size(i.memory_bytes)]);
  const text = JSON.stringify(cells);
  if (parts.body.dataset.text !== text) {
    parts.body.dataset.text = text;
    parts.body.replaceChildren(...cells.map(row => make("tr", {}, ...row.map((value, column) =>
      make("td", { textContent: value, className: column === 1 ? tone(value) : "" })))));
  }
  parts.actions.hidden = !mayAct;
  for (const each of parts.actions.children) each.disabled = senseless(app, each.dataset.does);
}
function show(app, many) {
  const key = keyOf(app), parts = tiles.get(key) || tile(app), sum = name => app.instances.reduce((n, i) => n + (i[name] || 0), 0);
  const reloading = app.reload && app.reload.state === "running", ready = app.instances.filter(i => i.ready).length;
  const limit = app.memory_limit_bytes && app.memory_limit_bytes * app.instances.length, sick = rank(app) < 3;
  put(parts.state, reloading ? "reloading" : app.state);
  parts.state.className = `state ${reloading ? "wait" : tone(app.state)}`;
  put(parts.ready, `${ready} of ${app.scale}`);
  put(parts.cpu, `CPU ${Math.round(sum("cpu_percent"))}%`);
  put(parts.memory, `${size(sum("memory_bytes"))}${limit ? ` of ${size(limit)}` : ""}`);
  put(parts.restarts, `${app.restarts} restart${app.restarts === 1 ? "" : "s"}`);
  parts.state.title = plain(app.why); // of what nobody wants to run a line is enough
  put(parts.why, sick ? reasons(app) : app.next_run ? `next run ${app.next_run.slice(0, 16).replace("T", " ")}` : "");
  parts.root.classList.toggle("sick", sick);
  unfold(key, unfolded.get(key) ?? (sick || !many));
  if (!parts.inside.hidden) fill(app, parts);
  remember(app, sum("cpu_percent"), sum("memory_bytes"), limit);
}
function forget(apps) {
  const present = new Set(apps.map(keyOf));
  for (const [key, parts] of tiles) if (!present.has(key)) {
    watchCharts(key, parts, false);
    parts.root.remove();
    tiles.delete(key);
    find("app").querySelector(`option[value="${CSS.escape(key)}"]`)?.remove();
  }
}
function arrange(apps) {
  const wanted = find("search").value.toLowerCase(), all = find("apps");
  const sorted = [...apps].sort((a, b) => rank(a) - rank(b));
  const roots = sorted.map(app => tiles.get(keyOf(app)).root);
  if (roots.length !== all.children.length || roots.some((root, i) => all.children[i] !== root)) {
    const focused = document.activeElement;
    all.replaceChildren(...roots);
    if (all.contains(focused)) focused.focus();
  }
  sorted.forEach((app, i) => { roots[i].hidden = !`${app.name} ${app.state} ${reasons(app)}`.toLowerCase().includes(wanted); });
  const shown = roots.filter(root => !root.hidden).length;
  put(find("count"), shown === apps.length ? `${apps.length} apps` : `${shown} of ${apps.length} apps`);
}
find("fold").onclick = () => {
  const open = find("fold").textContent === "unfold all";
  for (const key of tiles.keys()) unfold(key, open, true);
  find("fold").textContent = open ? "fold all" : "unfold all";
};
