// The smaller Node modules a configuration may want.
(() => {
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
  randomBytes: (size) => buffer().Buffer.ofBytes(host('random_bytes', size).bytes),
  randomInt: (low, high) => (high === undefined ? Math.floor(Math.random() * low) : low + Math.floor(Math.random() * (high - low))),
  createHash(algorithm) {
    let data = '';
    return {
      update(chunk) { for (const byte of buffer().Buffer.from(chunk)) data += String.fromCharCode(byte); return this; },
      digest(encoding) {
        const { bytes, error } = host('hash', algorithm, data);
        if (error) throw new Error(error);
        return encoding ? host('decode', bytes, encoding).text : buffer().Buffer.ofBytes(bytes);
      },
    };
  },
};

const querystring = {
  parse: (text) => Object.fromEntries(new (url().URLSearchParams)(text)),
  stringify: (pairs) => new (url().URLSearchParams)(pairs).toString(),
};

return { util, assert, EventEmitter, crypto, querystring };
})();
