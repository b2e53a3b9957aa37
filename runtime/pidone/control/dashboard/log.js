// Records as the apps and the runtime wrote them: levels, colours, fields.
const KEPT = 1000;
const LONG = 2000; // characters of a message that are shown before somebody asks for all
// Words of the usual loggers, and the numbers of pino and bunyan.
const WORDS = [/^(trace|finest|finer|fine|debug|verbose|silly|dbg)$/i, /^(info|information|notice|log|http)$/i, /^(warn|warning|wrn)$/i,
  /^(err|error|severe|fail|fatal|crit|critical|panic|dpanic|alert|emerg|emergency)$/i];
function levelOf(record) {
  const level = record.level ?? record.severity ?? record.lvl ?? record.levelname ?? record.LogLevel ?? record["@l"] ?? record.Level ?? "info";
  const number = Number(level);
  const rank = Number.isFinite(number) ? (number >= 50 ? 3 : number >= 40 ? 2 : number >= 30 ? 1 : 0) : WORDS.findIndex(word => word.test(level));
  return { rank: rank < 0 ? 1 : rank, level: Number.isFinite(number) ? ["debug", "info", "warning", "error"][rank] : String(level).toLowerCase() };
}
let records = [], stopListening = null, held = 0;

function parse(line) {
  try {
    const value = JSON.parse(line);
    return value && typeof value === "object" && !Array.isArray(value) ? value : { message: line };
  } catch { return { message: line }; }
}
function coloured(text) {
  const parts = [];
  let at = 0, front = null, bold = false;
  const push = piece => {
    if (!piece) return;
    const names = [front === null ? "" : `f${front}`, bold ? "b1" : ""].filter(Boolean).join(" ");
    parts.push(names ? make("span", { className: names, textContent: piece }) : piece);
  };
  for (const found of text.matchAll(ESCAPES)) {
    push(text.slice(at, found.index));
    at = found.index + found[0].length;
    if (found[1] === undefined) continue;
    const codes = found[1].split(/[;:]/).map(Number);
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i];
      if (code === 0) { front = null; bold = false; }
      else if (code === 1) bold = true;
      else if (code === 22) bold = false;
      else if (code === 39) front = null;
      else if (code >= 30 && code <= 37) front = code - 30;
      else if (code >= 90 && code <= 97) front = code - 82;
      else if (code === 38 || code === 48) {
        if (code === 38 && codes[i + 1] === 5 && codes[i + 2] < 16) front = codes[i + 2];
        i += codes[i + 1] === 5 ? 2 : 4;
      }
    }
  }
  push(text.slice(at));
  return parts;
}
function hue(name) {
  let sum = 7;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}
function rowOf(line) {
  const record = parse(line), { rank, level } = levelOf(record);
  const { timestamp, app, namespace, instance, level: _, stream, pid, ...fields } = record;
  const event = stream === undefined ? fields.event : undefined; // an app's own `event` is what structlog calls its message
  const who = app === undefined ? "pidone" : instance === undefined ? app : `${app}.${instance}`;
  const word = ["message", "msg", "Message", "@m", "@mt", "event"].find(each => fields[each] !== undefined && (each !== "event" || !event));
  const said = word === undefined ? (event ? "" : line) : typeof fields[word] === "string" ? fields[word] : JSON.stringify(fields[word]);
  const isLong = said.length > LONG;
  const bad = rank === 3 ? "bad" : rank === 2 ? "wait" : "";
  delete fields[word];
  delete fields.event;
  const name = make("span", { className: "who", textContent: who });
  name.style.setProperty("--hue", hue(String(app ?? "pidone")));
  const text = [make("time", { textContent: String(timestamp ?? "").slice(11, 23) }), name,
    ...bad ? [make("span", { className: `lv ${bad}`, textContent: level })] : [], ...event ? [`${event} `] : [],
    make("span", { className: bad }, ...coloured(isLong ? `${said.slice(0, LONG)}\u2026 (${said.length} characters)` : said))];
  const row = make("div", { className: `row${event ? " event" : ""}` });
  const more = Object.entries({ ...isLong && { message: said }, ...fields }).filter(([, value]) => value !== null && value !== undefined);
  if (!more.length) row.append(...text);
  else row.append(make("details", {}, make("summary", {}, ...text), make("pre", { className: "fields",
    textContent: more.map(([key, value]) => `${key}: ${plain(typeof value === "string" ? value : JSON.stringify(value))}`).join("\n") })));
  return row;
}
function wanted(line) {
  const least = Number(find("level").value), filter = find("filter").value.toLowerCase();
  if (filter && !line.toLowerCase().includes(filter)) return false;
  if (!least && find("lifecycle").checked) return true;
  const record = parse(line);
  return (find("lifecycle").checked || record.event === undefined || record.stream !== undefined) && levelOf(record).rank >= least;
}
const atEnd = log => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
function append(lines) {
  const log = find("log"), rows = lines.filter(wanted).map(rowOf);
  if (!rows.length) return;
  log.append(...rows);
  if (find("tail").checked) {
    while (log.children.length > KEPT) log.firstChild.remove();
    log.scrollTop = log.scrollHeight;
  } else {
    held += rows.length;
    find("more").hidden = false;
    find("more").textContent = `${held} new lines: go to the end`;
  }
}
function render() {
  find("log").replaceChildren();
  held = 0;
  append(records);
}
let waiting = [], due = null;
function follow() {
  stopListening?.();
  const app = find("app").value;
  const begin = () => { records = []; waiting = []; find("log").replaceChildren(); };
  stopListening = keepListening(`/api/logs?follow=1&lines=300${app && `&app=${encodeURIComponent(app)}`}`, begin, line => {
    records.push(line);
    waiting.push(line);
    if (records.length > KEPT) records.splice(0, records.length - KEPT);
    due ??= setTimeout(() => { due = null; const lines = waiting.slice(-KEPT); waiting = []; append(lines); }, 100);
  });
}
function toEnd() {
  held = 0;
  find("more").hidden = true;
  find("tail").checked = true;
  render();
}
find("log").onscroll = () => {
  const end = atEnd(find("log"));
  if (!end && find("tail").checked) find("tail").checked = false;
  else if (end && !find("tail").checked && !held) find("tail").checked = true;
};
find("more").onclick = toEnd;
find("tail").onchange = () => { if (find("tail").checked) toEnd(); };
for (const id of ["filter", "level", "lifecycle"]) find(id).oninput = render;
find("app").onchange = follow;
find("download").onclick = () => {
  const address = URL.createObjectURL(new Blob([records.filter(wanted).join("\n") + "\n"], { type: "application/x-ndjson" }));
  make("a", { href: address, download: `pidone-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.ndjson` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
};
