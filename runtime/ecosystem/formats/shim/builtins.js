// The smaller Node modules a configuration may want, and a clear refusal for the rest.
const util = (() => {
  const promisify = (task) => (...args) => new Promise((resolve, reject) => {
    task(...args, (error, value) => (error ? reject(error) : resolve(value)));
  });
  const isDeepStrictEqual = (a, b) => Object.is(a, b) || (typeof a === 'object' && typeof b === 'object' && a && b
    && Object.keys(a).length === Object.keys(b).length && Object.keys(a).every((key) => isDeepStrictEqual(a[key], b[key])));
  return {
    inspect, format, promisify, isDeepStrictEqual, deprecate: (task) => task, isArray: Array.isArray,
    inherits(child, parent) { Object.setPrototypeOf(child.prototype, parent.prototype); },
    debuglog: () => () => {}, stripVTControlCharacters: (text) => text.replace(/\u001b\[[\d;]*[A-Za-z]/g, ''),
  };
})();

const assert = (() => {
  const check = (ok, message, fallback) => {
    if (ok) return;
    throw message instanceof Error ? message : Object.assign(new Error(message ?? fallback), { name: 'AssertionError', code: 'ERR_ASSERTION' });
  };
  const assertion = (value, message) => check(value, message, 'The expression evaluated to a falsy value');
  const equal = (a, b, message) => check(Object.is(a, b), message, `${inspect(a)} is not ${inspect(b)}`);
  const deepEqual = (a, b, message) => check(util.isDeepStrictEqual(a, b), message, 'values are not deeply equal');
  return Object.assign(assertion, {
    ok: assertion, equal, strictEqual: equal, deepEqual, deepStrictEqual: deepEqual,
    notEqual: (a, b, message) => check(!Object.is(a, b), message, 'values are equal'),
    notStrictEqual: (a, b, message) => check(!Object.is(a, b), message, 'values are equal'),
    fail: (message) => check(false, message, 'Failed'),
  });
})();
assert.strict = assert;

class EventEmitter {
  #listeners = new Map();

  on(name, listener) { this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]); return this; }

  once(name, listener) {
    const wrapped = (...args) => { this.off(name, wrapped); listener.apply(this, args); };
    return this.on(name, wrapped);
  }

  off(name, listener) { this.#listeners.set(name, (this.#listeners.get(name) ?? []).filter((one) => one !== listener)); return this; }

  emit(name, ...args) {
    const listeners = this.#listeners.get(name) ?? [];
    for (const listener of listeners) listener.apply(this, args);
    return listeners.length > 0;
  }
}
EventEmitter.EventEmitter = EventEmitter;

const crypto = {
  randomUUID: () => host('random_uuid').text,
  randomBytes: (size) => Buffer.ofBytes(host('random_bytes', size).bytes),
  randomInt: (low, high) => (high === undefined ? Math.floor(Math.random() * low) : low + Math.floor(Math.random() * (high - low))),
  createHash(algorithm) {
    let data = '';
    return {
      update(chunk) { for (const byte of Buffer.from(chunk)) data += String.fromCharCode(byte); return this; },
      digest(encoding) {
        const { bytes, error } = host('hash', algorithm, data);
        if (error) throw new Error(error);
        return encoding ? host('decode', bytes, encoding).text : Buffer.ofBytes(bytes);
      },
    };
  },
};

const querystring = {
  parse: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringify: (pairs) => new URLSearchParams(pairs).toString(),
};

// Timers run when nothing else is left to do, in order of their time; nobody waits for them.
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

// A module whose functions exist but refuse: a configuration may import what it does not use.
const REASONS = {
  child_process: 'it may not start processes', cluster: 'it may not start processes', worker_threads: 'it may not start threads',
};
const refusing = (name) => {
  const refuse = (member) => {
    throw new Error(`${name}.${member}() is refused in a configuration file: ${REASONS[name] ?? 'it has no network and no side effects'}`);
  };
  return new Proxy({}, {
    get: (_, member) => (typeof member === 'symbol' || member === 'default' || member === '__esModule' || member === 'then'
      ? undefined : function refused() { return refuse(member); }),
    has: () => true,
  });
};

const BUILTINS = {
  path, 'path/posix': path, fs, 'fs/promises': fs.promises, os, url, util, assert, 'assert/strict': assert, events: EventEmitter, crypto,
  querystring, process, console, buffer: { Buffer }, timers: timersModule, 'timers/promises': timersPromises,
  perf_hooks: { performance }, constants: {}, dotenv,
};
const builtin = (name, folder) => {
  if (name === 'dotenv/config') return dotenvConfig();
  if (name === 'module') return { createRequire: (from) => requireFrom(path.dirname(String(from).startsWith('file:') ? url.fileURLToPath(from) : from)), builtinModules: Object.keys(BUILTINS) };
  return Object.hasOwn(BUILTINS, name) ? BUILTINS[name] : (BUILTINS[name] = refusing(name));
};
