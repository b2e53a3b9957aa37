// A value as JSON text, with what JSON cannot say turned into notices. Used in the engine and in Node.
// Everything it needs is taken before the configuration runs: a polluted prototype changes nothing.
const serialize = (() => {
  const { stringify } = JSON;
  const { isArray } = Array;
  const { isFinite } = Number;
  const { getPrototypeOf } = Object;
  const ownKeys = Object.keys;
  const call = Function.prototype.call;
  const uncurry = (method) => call.bind(method);
  const dateToIso = uncurry(Date.prototype.toISOString);
  const dateValue = uncurry(Date.prototype.getTime);
  const numberValue = uncurry(Number.prototype.valueOf);
  const stringValue = uncurry(String.prototype.valueOf);
  const booleanValue = uncurry(Boolean.prototype.valueOf);
  const startsWith = uncurry(String.prototype.startsWith);
  const mapForEach = uncurry(Map.prototype.forEach);
  const setForEach = uncurry(Set.prototype.forEach);
  const text = String;
  const getter = (name) => uncurry(Object.getOwnPropertyDescriptor(RegExp.prototype, name).get);
  const [regExpSource, regExpFlags] = [getter('source'), getter('flags')];
  const [DateType, MapType, SetType, PromiseType, RegExpType] = [Date, Map, Set, Promise, RegExp];
  const [ObjectPrototype, ArrayPrototype] = [Object.prototype, Array.prototype];
  const [NumberType, StringType, BooleanType, ErrorType] = [Number, String, Boolean, TypeError];
  const is = (type) => { const { prototype } = type; const has = uncurry(Object.prototype.isPrototypeOf); return (v) => has(prototype, v); };
  const [isDate, isMap, isSet, isPromise, isRegExp] = [DateType, MapType, SetType, PromiseType, RegExpType].map(is);
  const [isNumber, isString, isBoolean] = [NumberType, StringType, BooleanType].map(is);
  const MAX_DEPTH = 100, MAX_VALUES = 200000, MAX_CHARS = 4 << 20;

  return (root, notice) => {
    const open = [];
    let values = 0, chars = 0;
    const spell = (path, key) => (path.length > 60 ? path : typeof key === 'number' ? `${path}[${key}]` : path ? `${path}.${key}` : key);
    const refuse = (path, why) => { throw new ErrorType(`${path || 'the exported value'} ${why}`); };

    // The JSON of a value, or undefined if it has none; `within` is the key of what it stands in.
    const write = (value, path, within, key) => {
      values += 1;
      if (values > MAX_VALUES) refuse(path, `is one of more than ${MAX_VALUES} values, which no configuration needs`);
      if ((typeof value === 'object' && value !== null && !isDate(value)) || typeof value === 'function') {
        const { toJSON } = value;
        const own = toJSON !== ObjectPrototype.toJSON && toJSON !== ArrayPrototype.toJSON; // else it is pollution
        if (typeof toJSON === 'function' && own) value = call.call(toJSON, value, key);
      }
      switch (typeof value) {
        case 'string': {
          chars += value.length;
          if (chars > MAX_CHARS) refuse(path, 'makes the value larger than 4 MiB');
          return stringify(value);
        }
        case 'boolean': return value ? 'true' : 'false';
        case 'number': {
          if (isFinite(value)) return text(value === 0 ? 0 : value);
          notice(`${path} is ${text(value)}, which is not a number; taken as not set`);
          return typeof within === 'string' && (within === 'env' || startsWith(within, 'env_')) ? undefined : 'null'; // null is a text there
        }
        case 'bigint': return text(value);
        case 'undefined': return undefined;
        case 'function': notice(`${path} is a function, which has no meaning here; ignored`); return undefined;
        case 'symbol': notice(`${path} is a symbol, which has no meaning here; ignored`); return undefined;
        default:
      }
      if (value === null) return 'null';
      if (isDate(value)) {
        const json = isFinite(dateValue(value)) ? stringify(dateToIso(value)) : 'null';
        return within === 'env' ? stringify(json) : json; // PM2 hands on the JSON of objects, which a Date is
      }
      if (isNumber(value)) return write(numberValue(value), path, within, key);
      if (isString(value)) return write(stringValue(value), path, within, key);
      if (isBoolean(value)) return booleanValue(value) ? 'true' : 'false';
      if (isRegExp(value)) return stringify({ regexp: regExpSource(value), flags: regExpFlags(value) });
      if (isPromise(value)) refuse(path, 'is a promise; export an async function that awaits it');
      return writeObject(value, path, key);
    };

    const writeObject = (value, path, name) => {
      const depth = open.length;
      if (depth >= MAX_DEPTH) refuse(path, `is nested more than ${MAX_DEPTH} levels deep`);
      for (let i = 0; i < depth; i += 1) if (open[i] === value) refuse(path, 'contains itself');
      open[depth] = value;
      let result = '';
      const add = (piece) => { result += (result ? ',' : '') + piece; };
      if (isArray(value)) {
        const { length } = value;
        for (let i = 0; i < length; i += 1) add(write(value[i], spell(path, i), name, i) ?? 'null');
        result = `[${result}]`;
      } else if (isSet(value)) {
        let i = 0;
        setForEach(value, (item) => { add(write(item, spell(path, i), name, i) ?? 'null'); i += 1; });
        notice(`${path} is a Set; taken as a list`);
        result = `[${result}]`;
      } else {
        const entry = (key, item) => {
          chars += key.length;
          const json = write(item, spell(path, key), name, key);
          if (json !== undefined) add(`${stringify(key)}:${json}`);
        };
        if (isMap(value)) {
          mapForEach(value, (item, key) => entry(text(key), item));
          notice(`${path} is a Map; taken as an object`);
        } else {
          const keys = ownKeys(value);
          for (let i = 0; i < keys.length; i += 1) entry(keys[i], value[keys[i]]);
        }
        result = `{${result}}`;
      }
      open.length = depth;
      return result;
    };

    return write(root, '', undefined, '');
  };
})();

// What a module exports, down to the value: the default export, a function's result, a promise's result.
const unwrap = async (exported, env) => {
  let value = exported;
  const named = (v) => 'apps' in v || 'pm2' in v || 'script' in v || 'deploy' in v;
  if (value !== null && typeof value === 'object' && 'default' in value && !named(value)) value = value.default;
  value = await value;
  for (let i = 0; i < 3 && typeof value === 'function'; i += 1) value = await value(env);
  if (value !== null && typeof value === 'object' && !Array.isArray(value) && 'default' in value && !named(value)) {
    value = await value.default;
  }
  if (value !== null && typeof value === 'object' && value.apps instanceof Promise) value = { ...value, apps: await value.apps };
  return value;
};
