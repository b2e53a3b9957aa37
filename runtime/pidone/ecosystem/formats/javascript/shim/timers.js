// Timers run when nothing else is left to do, in order of their time; nobody waits for them.
(() => {
const timers = [];
let lastTimer = 0;
const later = (task, delay, args, every) => {
  lastTimer += 1;
  const timer = { id: lastTimer, due: virtualNow + Math.max(1, Number(delay) || 1), task, args, every };
  timers.push(timer);
  const handle = { ref: () => handle, unref: () => handle, hasRef: () => true, refresh: () => handle, [Symbol.toPrimitive]: () => timer.id };
  return handle;
};
let virtualNow = 0;
const runNextTimer = () => {
  timers.sort((a, b) => a.due - b.due || a.id - b.id);
  const timer = timers.shift();
  if (!timer) return false;
  virtualNow = timer.due;
  if (timer.every) timers.push({ ...timer, due: virtualNow + timer.every });
  timer.task(...timer.args);
  return true;
};
const timersModule = {
  setTimeout: (task, delay, ...args) => later(task, delay, args),
  setInterval: (task, delay, ...args) => later(task, delay, args, Math.max(1, Number(delay) || 1)),
  setImmediate: (task, ...args) => later(task, 0, args),
};
for (const name of ['clearTimeout', 'clearInterval', 'clearImmediate']) {
  timersModule[name] = (handle) => {
    const at = timers.findIndex((timer) => timer.id === Number(handle));
    if (at >= 0) timers.splice(at, 1);
  };
}
const timersPromises = {
  setTimeout: (delay, value) => new Promise((resolve) => { later(resolve, delay, [value]); }),
  setImmediate: (value) => new Promise((resolve) => { later(resolve, 0, [value]); }),
};
return { module: timersModule, promises: timersPromises, runNext: runNextTimer };
})();
