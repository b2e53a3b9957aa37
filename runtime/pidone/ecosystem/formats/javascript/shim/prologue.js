// What the shim itself relies on, taken before the configuration can change it.
const { parse: parseAnswer, stringify } = JSON;
const joinList = Function.prototype.call.bind(Array.prototype.join);
// The engine keeps long concatenations as trees ("ropes"), which its Python binding does not understand.
const flat = (text) => joinList([text], '');
const host = (operation, ...args) => parseAnswer(ask(operation, flat(encodeList(args))));

// A list of texts, numbers, booleans and nulls as JSON; JSON.stringify would call a toJSON of a polluted prototype.
const encode = (value) => (typeof value === 'object' && value !== null ? encodeList(value) : stringify(value) ?? 'null');
const encodeList = (list) => {
  let result = '';
  for (let i = 0; i < list.length; i += 1) result += (i ? ',' : '') + encode(list[i]);
  return `[${result}]`;
};
const encodeRecord = (record) => {
  let result = '';
  for (const key in record) if (ownsKey(record, key)) result += `${result && ','}${stringify(key)}:${encode(record[key])}`;
  return `{${result}}`;
};
const ownsKey = Object.hasOwn;

// The value of a part of the shim, compiled when it is first asked for: most configurations need none of them, and
// compiling them all would take longer than everything else. The part sees what is declared here.
const part = (name) => {
  let value;
  return () => (value ??= eval(host('part', name))); // eslint-disable-line no-eval
};
const lazily = (target, name, get) => Object.defineProperty(target, name, {
  configurable: true,
  enumerable: false,
  get,
  set(value) { Object.defineProperty(target, name, { configurable: true, enumerable: true, writable: true, value }); },
});
const fs = part('fs');
const os = part('os');
const url = part('url');
const buffer = part('buffer');
const dotenv = part('dotenv');
const timers = part('timers');
const more = part('more');

// What only Node has: whoever asks for it gets the engine's answer, and the host evaluates the file in Node if there is one.
const lacks = (what) => { host('lacks', what); };
const NOT_LACKING = new Set(['default', 'then', '__esModule', 'toJSON', 'constructor', 'prototype']);
// `module` with a note of each member that is asked for and not there.
const noting = (name, module) => new Proxy(module, {
  get(target, member, receiver) {
    if (typeof member === 'string' && !(member in target) && !NOT_LACKING.has(member)) lacks(`${name}.${member}`);
    return Reflect.get(target, member, receiver);
  },
});
