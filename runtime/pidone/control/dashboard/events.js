// What happened, the latest first.
const EVENTS = 300;
const MINOR = /^(control\.|instance\.(start|stop|message|leftovers)$|listen\.|hook\.|probe\.|host\.)/;
let happened = [];
function eventOf(record) {
  const { timestamp, level, event, message, app, namespace, instance, reason, ...fields } = record;
  const who = app ? (instance === undefined ? app : `${app}.${instance}`) : "";
  const why = typeof reason === "string" && !String(message).includes(reason) ? ` (${reason})` : "";
  return { level, event, text: `${who ? `${who} ` : ""}${event}: ${plain(String(message ?? ""))}${why}`, at: timestamp };
}
function matters({ level, event }) {
  const bad = level === "error" || level === "fatal", kind = find("kinds").value;
  return kind === "" || bad || level === "warning" || (kind === "main" && !MINOR.test(event));
}
function renderEvents() {
  const filter = find("events-filter").value.toLowerCase();
  find("events").replaceChildren(...happened.filter(each => matters(each) && each.text.toLowerCase().includes(filter)).map(each =>
    make("li", { className: each.level === "warning" ? "wait" : ["error", "fatal"].includes(each.level) ? "bad" : "" },
      make("time", { textContent: clock(each.at) }), each.text)));
}
let eventsDue = null;
const followEvents = () => keepListening("/api/events?lines=100", () => { happened = []; }, data => {
  happened.unshift(eventOf(parse(data)));
  happened.length = Math.min(happened.length, EVENTS);
  eventsDue ??= setTimeout(() => { eventsDue = null; renderEvents(); }, 100);
});
for (const id of ["kinds", "events-filter"]) find(id).oninput = renderEvents;
