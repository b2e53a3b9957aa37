// Node's modules by name, and dotenv: the ones a configuration has a use for, and a clear refusal for the rest.
// A module whose functions exist but refuse: a configuration may import what it does not use.
const NETWORK = new Set('dgram dns http http2 https inspector net repl tls'.split(' '));
const REASONS = {
  child_process: 'it may not start processes', cluster: 'it may not start processes', worker_threads: 'it may not start threads',
};
// What they are in a program that is neither a worker nor a thread.
const STATES = {
  cluster: { isMaster: true, isPrimary: true, isWorker: false, workers: {} },
  worker_threads: { isMainThread: true, threadId: 0, parentPort: null, workerData: null },
};
// Members that touch nothing: constants, and what only looks at its arguments.
const HARMLESS = /^[A-Z][A-Z_]+$|^isIP/;
const refusing = (name) => {
  const refuse = (member) => {
    throw new Error(`${name}.${member}() is refused in a configuration file: ${REASONS[name] ?? 'it has no network and no side effects'}`);
  };
  return new Proxy({}, {
    get(_, member) {
      if (typeof member === 'symbol' || member === 'default' || member === '__esModule' || member === 'then') return undefined;
      if (ownsKey(STATES[name] ?? {}, member)) return STATES[name][member];
      if (HARMLESS.test(member)) { lacks(`${name}.${member}`); return undefined; }
      return function refused() { return refuse(member); };
    },
    has: () => true,
  });
};

const BUILTINS = {
  path: () => path, 'path/posix': () => path, process: () => process, console: () => console, constants: () => ({}),
  fs, 'fs/promises': () => fs().promises, os, url, buffer, timers: () => timers().module, 'timers/promises': () => timers().promises,
  util: () => more().util, assert: () => more().assert, 'assert/strict': () => more().assert, events: () => more().EventEmitter,
  crypto: () => more().crypto, querystring: () => more().querystring, perf_hooks: () => ({ performance }),
  dotenv, 'dotenv/config': () => dotenv().fromEnvironment(),
};
const builtin = (name) => {
  if (name === 'module') {
    const folderOf = (from) => path.dirname(String(from).startsWith('file:') ? url().fileURLToPath(from) : from);
    return { createRequire: (from) => requireFrom(folderOf(from)), builtinModules: Object.keys(BUILTINS) };
  }
  if (ownsKey(BUILTINS, name)) return noted(name);
  if (!ownsKey(REASONS, name) && !NETWORK.has(name.split('/')[0])) lacks(`the module ${name}`);
  return refusing(name);
};
const modules = Object.create(null);
const noted = (name) => {
  const module = BUILTINS[name]();
  if (typeof module === 'function' || module === process || module === console) return module;
  return (modules[name] ??= noting(name, module));
};
