"use strict";
// What the other parts need: elements, figures as people write them, and questions to the runtime.
const find = id => document.getElementById(id);
const keyOf = app => `${app.namespace}/${app.name}`;
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}
function put(element, text) { if (element.textContent !== text) element.textContent = text; }

// ECMA-48: control sequences, strings such as titles and links, and single controls; and what turns the text around (UAX #9).
const ESCAPES = /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -\/]*[@-~]|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -\/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const plain = text => text.replace(ESCAPES, "");

const size = bytes => bytes === null || bytes === undefined ? "-" : bytes < 1048576 ? `${Math.round(bytes / 1024)} K`
  : bytes < 1073741824 ? `${(bytes / 1048576).toFixed(1)} M` : `${(bytes / 1073741824).toFixed(2)} G`;
function time(seconds) {
  if (seconds === null) return "-";
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "m"]])
    if (seconds >= length) return `${Math.floor(seconds / length)}${unit}`;
  return `${Math.floor(seconds)}s`;
}
const clock = at => new Date(at).toTimeString().slice(0, 8);

const GOOD = ["online", "completed"], BAD = ["errored", "backoff"];
const tone = state => GOOD.includes(state) ? "good" : BAD.includes(state) ? "bad" : "wait";
const isWanted = app => app.wanted || app.wish.run === "waiting";
const rank = app => !isWanted(app) ? 3 : !app.ready ? (BAD.includes(app.state) ? 0 : 1) : app.why ? 2 : 3; // 3: nothing to see

function bearer() {
  const token = find("token").value;
  return token ? { authorization: `Bearer ${token}` } : {};
}
async function ask(path, method = "GET", body) {
  const headers = bearer();
  if (body) headers["content-type"] = "application/json";
  const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const value = await reply.json();
  if (!reply.ok) throw Object.assign(new Error(value.error || reply.statusText), { status: reply.status });
  return value;
}
const pathOf = app => encodeURIComponent(keyOf(app));

// Server-sent events whatever their names, which EventSource cannot do; ends when the connection does.
async function listen(path, signal, hear) {
  const reply = await fetch(path, { signal, headers: bearer() });
  if (!reply.ok) throw new Error(reply.statusText);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "";;) {
    const { done, value } = await reader.read();
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const data = frame.split("\n").filter(line => line.startsWith("data: ")).map(line => line.slice(6));
      if (data.length) hear(data.join("\n"));
    }
  }
}
function keepListening(path, begin, hear) {
  const control = new AbortController();
  (async () => {
    while (!control.signal.aborted) {
      begin();
      try { await listen(path, control.signal, hear); } catch { /* the banner tells that nobody answers */ }
      await new Promise(done => setTimeout(done, 1000));
    }
  })();
  return () => control.abort();
}
