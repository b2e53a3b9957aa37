// Modules: CommonJS and (rewritten by the host) ES modules, one cache for both.
const cache = Object.create(null);
const compile = globalThis.eval; // called by another name it evaluates in the global scope, and not strictly
const missing = (specifier, from, code) => Object.assign(new Error(`Cannot find module '${specifier}'\nRequire stack:\n- ${from}`), { code });

const namespaceOf = (record) => {
  if (record.namespace && (Object.keys(record.namespace).length || record.module.exports === record.initial)) return record.namespace;
  return interop(record.module.exports);
};
const interop = (exports) => {
  const namespace = Object.create(null);
  if (exports !== null && (typeof exports === 'object' || typeof exports === 'function')) {
    for (const key of Object.keys(exports)) Object.defineProperty(namespace, key, { enumerable: true, configurable: true, get: () => exports[key] });
  }
  Object.defineProperty(namespace, 'default', { enumerable: true, configurable: true, writable: true, value: exports });
  return namespace;
};

// The record of a file: compiled once; `run` is unset when it is done.
const recordOf = (file) => {
  if (cache[file]) return cache[file];
  const source = host('load', file);
  if (source.error) throw new Error(source.error);
  const module = { exports: {}, id: file, filename: file, loaded: false, children: [], paths: [], path: path.dirname(file) };
  module.require = requireFrom(module.path, file);
  const record = { file, module, initial: module.exports, source, done: undefined };
  cache[file] = record;
  try {
    if (source.kind === 'json') module.exports = parseJson(source.text, file);
    else record.body = compile(source.code);
  } catch (error) {
    delete cache[file];
    throw error;
  }
  return record;
};
const parseJson = (text, file) => {
  try { return JSON.parse(text); } catch (error) { throw new SyntaxError(`${file}: ${error.message}`); }
};

const execute = (record) => {
  const { module, source, file } = record;
  if (!record.body) { module.loaded = true; return undefined; }
  const { body } = record;
  record.body = undefined;
  const imported = (specifier) => importFrom(specifier, module.path, file);
  if (!source.isModule) {
    body.call(module.exports, module.exports, module.require, module, file, module.path, imported);
    module.loaded = true;
    return undefined;
  }
  record.namespace = Object.create(null);
  const share = (getters) => {
    for (const name of Object.keys(getters)) Object.defineProperty(record.namespace, name, { enumerable: true, configurable: true, get: getters[name] });
  };
  const shareAll = (namespace) => {
    for (const name of Object.keys(namespace)) {
      if (name !== 'default' && !(name in record.namespace)) Object.defineProperty(record.namespace, name, { enumerable: true, configurable: true, get: () => namespace[name] });
    }
  };
  const meta = { url: url().pathToFileURL(file).href, filename: file, dirname: module.path, main: record.main, resolve: (specifier) => url().pathToFileURL(locate(specifier, module.path, file).file).href };
  const start = (modules) => body(module.exports, module.require, module, file, module.path, imported, meta, modules, share, shareAll, record.namespace);
  const finish = () => { module.loaded = true; };
  const namespaces = source.imports.map(({ specifier, names }) => needed(specifier, names, record));
  if (!source.awaits && namespaces.every((one) => !(one instanceof Promise))) {
    start(namespaces);
    return finish();
  }
  record.done = Promise.all(namespaces).then(start).then(finish);
  return record.done;
};

// The namespace of a static import; a promise if that module is asynchronous.
const needed = (specifier, names, record) => {
  const found = locate(specifier, record.module.path, record.file);
  const check = (namespace) => {
    for (const name of names) {
      if (!(name in namespace) && found.builtin) lacks(`${found.builtin}.${name}`);
      if (!(name in namespace)) throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`);
    }
    return namespace;
  };
  if (found.builtin) {
    return check(namespaceOfBuiltin(builtin(found.builtin)));
  }
  const wanted = recordOf(found.file);
  execute(wanted);
  if (wanted.done) return wanted.done.then(() => check(namespaceOf(wanted)));
  return wanted.body === undefined && !wanted.module.loaded ? namespaceOf(wanted) : check(namespaceOf(wanted));
};
const namespaceOfBuiltin = (exports) => new Proxy(exports, {
  get: (target, name) => (name === 'default' ? exports : target[name]),
  has: (target, name) => name === 'default' || name in target,
});

const locate = (specifier, folder, from) => {
  if (typeof specifier !== 'string') throw new TypeError(`The "id" argument must be of type string. Received ${specifier === null ? 'null' : typeof specifier}`);
  const found = host('resolve', specifier, folder);
  if (found.builtin || found.file) return found;
  throw missing(specifier, from, found.thirdParty ? 'PIDONE_THIRD_PARTY' : 'MODULE_NOT_FOUND');
};

const requireFrom = (folder, from = folder) => {
  const require = (specifier) => {
    const found = locate(specifier, folder, from);
    if (found.builtin) return builtin(found.builtin);
    const record = recordOf(found.file);
    execute(record);
    if (record.done && !record.module.loaded) {
      throw Object.assign(new Error(`require() cannot load ${record.file}, which uses top-level await; use import()`), { code: 'ERR_REQUIRE_ASYNC_MODULE' });
    }
    return record.namespace && Object.keys(record.namespace).length ? record.namespace : record.module.exports;
  };
  require.resolve = (specifier) => { const found = locate(specifier, folder, from); return found.builtin ?? found.file; };
  require.cache = cache;
  require.main = mainModule;
  require.extensions = {};
  return require;
};

const importFrom = async (specifier, folder, from) => {
  const found = locate(String(specifier?.href ?? specifier), folder, from);
  if (found.builtin) return namespaceOfBuiltin(builtin(found.builtin));
  const record = recordOf(found.file);
  await execute(record);
  await record.done;
  return namespaceOf(record);
};
let mainModule;
