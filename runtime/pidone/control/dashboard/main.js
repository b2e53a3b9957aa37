// Asks every two seconds, and for the last hour every half minute; never again before the answer has come.
const MANY = 6, LATE = 6000;
let askPastAt = 0, askedAt = null, again = false;
async function refresh() {
  again = askedAt !== null;
  if (again) return;
  do {
    askedAt = performance.now();
    again = false;
    await update();
  } while (again);
  askedAt = null;
}
function keepAsking() {
  if (document.hidden) return;
  const late = askedAt === null ? 0 : performance.now() - askedAt;
  if (!late) refresh();
  else if (late > LATE) {
    put(find("whole"), `no answer for ${Math.round(late / 1000)} s`);
    find("whole").className = "state bad";
  }
}
async function update() {
  const whole = find("whole");
  try {
    const old = performance.now() > askPastAt;
    const [runtime, { apps }, box] = await Promise.all([ask("/api"), ask("/api/apps"), ask("/api/container"), old ? remembered() : null]);
    if (old) askPastAt = performance.now() + 30000;
    known = apps;
    born = Date.now() / 1000 - runtime.uptime_s;
    if (find("token").value) find("said").textContent = runtime.may_act ? "" : "this token is not the right one";
    mayAct = runtime.may_act;
    find("form").hidden = mayAct && !find("token").value;
    showBox(box, runtime.uptime_s);
    const fresh = apps.filter(app => !tiles.has(keyOf(app)));
    for (const app of fresh) tile(app);
    arrange(apps);
    for (const app of apps) show(app, apps.length > MANY);
    for (const app of fresh) drawSpark(keyOf(app), tiles.get(keyOf(app)));
    forget(apps);
    put(whole, runtime.phase !== "running" ? runtime.phase : runtime.ready ? "ready" : "not ready");
    whole.className = `state ${runtime.ready ? "good" : "bad"}`;
    put(find("facts"), [runtime.version, `up ${time(runtime.uptime_s)}`].join(" \u00b7 "));
    await explain(apps, runtime);
  } catch (error) {
    if ([401, 403].includes(error.status)) find("said").textContent = "this token is not the right one";
    put(whole, `no answer: ${error.message}`);
    whole.className = "state bad";
  }
}
find("form").onsubmit = event => event.preventDefault();
find("search").oninput = () => arrange(known.filter(app => tiles.has(keyOf(app))));
find("look").onchange = () => { find("apps").className = `apps ${find("look").value}`; };
find("token").oninput = refresh;
document.addEventListener("keydown", event => {
  if (event.key === "/" && !(event.target instanceof HTMLInputElement)) { event.preventDefault(); find("filter").focus(); }
  if (event.key === "Escape" && event.target.type === "search") { event.target.value = ""; event.target.dispatchEvent(new Event("input")); }
});
matchMedia("(prefers-color-scheme: dark)").onchange = () => { // canvases have their colours from when they were made
  for (const [key, parts] of tiles) if (parts.drawn) { watchCharts(key, parts, false); watchCharts(key, parts, true); }
};
// A browser has six connections to a host for all its tabs: one that nobody sees holds none.
let stopEvents = null;
function present() {
  stopEvents?.();
  stopListening?.();
  if (document.hidden) return;
  stopEvents = followEvents();
  follow();
  refresh();
}
document.addEventListener("visibilitychange", present);
present();
setInterval(keepAsking, 2000);
