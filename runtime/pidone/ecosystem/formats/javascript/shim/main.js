// Evaluates the configuration and tells the host how it went.
const secrets = new Set();
let outcome;

const describe = (error) => {
  if (error === null || typeof error !== 'object') return { message: `throws ${inspect(error)} (not an Error)` };
  const name = typeof error.name === 'string' ? error.name : 'Error';
  return { name, message: String(error.message), stack: String(error.stack ?? ''), code: typeof error.code === 'string' ? error.code : '' };
};
// Written out by hand: a polluted Object.prototype.toJSON must not get hold of it.
const settle = (kind, text, env) => {
  outcome ??= `{"${kind}":${text},"env":${encodeRecord(env)},"notices":${encodeList(flushNotices())},"secrets":${encodeList([...secrets])}}`;
};
const fail = (error) => {
  try {
    settle('error', encodeRecord(describe(error)), {});
  } catch {
    settle('error', '{"message":"throws something that cannot be shown"}', {});
  }
};
const succeed = (value) => { settle('value', serialize(value, notice) ?? 'null', changedEnv()); };

Object.assign(globalThis, {
  process, console, global: globalThis,
  structuredClone: (value) => JSON.parse(JSON.stringify(value)),
  fetch: () => { throw new Error('fetch() is refused in a configuration file: it has no network'); },
});

lazily(globalThis, 'Buffer', () => buffer().Buffer);
for (const name of ['URL', 'URLSearchParams']) lazily(globalThis, name, () => url()[name]);
let timersUsed = false;
for (const kind of ['Timeout', 'Interval', 'Immediate']) {
  for (const name of [`set${kind}`, `clear${kind}`]) {
    lazily(globalThis, name, () => { timersUsed = true; return timers().module[name]; });
  }
}

for (const name of ['Intl', 'TextEncoder', 'TextDecoder', 'AbortController', 'AbortSignal', 'Blob', 'Event', 'EventTarget', 'FormData', 'Headers', 'Request', 'Response', 'crypto', 'atob', 'btoa', 'WebAssembly', 'navigator', 'MessageChannel', 'ReadableStream']) {
  if (!(name in globalThis)) lazily(globalThis, name, () => { lacks(name); return undefined; });
}
for (const name of ['loadEnvFile', 'getBuiltinModule', 'report', 'resourceUsage', 'cpuUsage', 'constrainedMemory', 'availableMemory']) {
  lazily(process, name, () => { lacks(`process.${name}`); return undefined; });
}
// The engine knows one locale, Node those of its ICU.
for (const [prototype, names] of [[Number.prototype, ['toLocaleString']], [Date.prototype, ['toLocaleString', 'toLocaleDateString', 'toLocaleTimeString']], [String.prototype, ['localeCompare']]]) {
  for (const name of names) {
    const own = prototype[name];
    const method = { [name](...args) { lacks(name); return own.apply(this, args); } }[name];
    Object.defineProperty(prototype, name, { configurable: true, writable: true, value: method });
  }
}

const evaluateFile = async (file) => {
  const record = recordOf(file);
  // Not the module itself: what runs a configuration, and requires it, is the main one.
  mainModule = { ...record.module };
  record.module.require.main = mainModule;
  await execute(record);
  await record.done;
  return record.namespace && Object.keys(record.namespace).length ? record.namespace : record.module.exports;
};

return {
  // A file, or the text of an expression ("JSON" that is JavaScript).
  start() {
    const { file, expression } = facts;
    let value;
    try {
      value = expression === undefined ? evaluateFile(file) : compile(expression);
    } catch (error) {
      fail(error);
      return;
    }
    Promise.resolve(value).then((exported) => unwrap(exported, process.env)).then(succeed).catch(fail);
  },
  // Called when no job is left: runs a timer if the value depends on one. False when there is nothing more to do.
  idle() {
    if (outcome || !timersUsed) return false;
    try {
      return timers().runNext();
    } catch (error) {
      fail(error);
      return false;
    }
  },
  outcome() {
    settle('error', '{"message":"waits for something that never comes: its promise is never settled"}', {});
    return flat(outcome);
  },
};
