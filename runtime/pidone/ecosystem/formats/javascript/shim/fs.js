// node:fs for reading. Writing is quietly refused with a notice: a configuration has no side effects.
(() => {
  const isUrl = (value) => typeof value === 'object' && value !== null && typeof value.href === 'string';
  const named = (file) => {
    if (isUrl(file)) return url().fileURLToPath(file);
    if (typeof file === 'string') return file;
    if (file instanceof buffer().Buffer) return file.toString();
    throw Object.assign(new TypeError(`The "path" argument must be of type string or an instance of Buffer or URL. Received ${file === null || file === undefined ? file : `type ${typeof file}`}`), { code: 'ERR_INVALID_ARG_TYPE' });
  };
  const ask = (operation, syscall, file, ...rest) => {
    const name = named(file);
    const answer = host(operation, name, ...rest);
    if (answer.errno) {
      throw Object.assign(new Error(`${answer.code}: ${answer.message}, ${syscall} '${name}'`),
        { errno: -answer.errno, code: answer.code, syscall, path: name });
    }
    return answer;
  };
  const kindOf = (stats) => ({
    isFile: () => stats.kind === 'file', isDirectory: () => stats.kind === 'directory', isSymbolicLink: () => stats.kind === 'link',
    isFIFO: () => stats.kind === 'fifo', isSocket: () => stats.kind === 'socket',
    isBlockDevice: () => stats.kind === 'block', isCharacterDevice: () => stats.kind === 'character',
  });
  const statsOf = ({ stats }) => ({
    ...stats.numbers, ...kindOf(stats), mtime: new Date(stats.numbers.mtimeMs), ctime: new Date(stats.numbers.ctimeMs),
    atime: new Date(stats.numbers.atimeMs), birthtime: new Date(stats.numbers.ctimeMs),
  });
  const stat = (operation) => (file, options) => {
    try {
      return statsOf(ask(operation, operation, file));
    } catch (error) {
      if (options?.throwIfNoEntry === false && error.code === 'ENOENT') return undefined;
      throw error;
    }
  };

  const reading = {
    readFile(file, options) {
      const encoding = typeof options === 'string' ? options : options?.encoding;
      const { bytes } = ask('read', 'open', file);
      return encoding && encoding !== 'buffer' ? host('decode', bytes, encoding).text : buffer().Buffer.ofBytes(bytes);
    },
    readdir(folder, options) {
      const entries = ask('readdir', 'scandir', folder, Boolean(options?.recursive)).entries;
      if (!options?.withFileTypes) return entries.map((entry) => entry.name);
      return entries.map((entry) => ({ name: path.basename(entry.name), parentPath: path.join(named(folder), path.dirname(entry.name)), ...kindOf(entry) }));
    },
    stat: stat('stat'),
    lstat: stat('lstat'),
    access(file) { ask('stat', 'access', file); },
    realpath: (file) => ask('realpath', 'lstat', file).path,
    readlink: (file) => ask('readlink', 'readlink', file).path,
  };
  const refusedNames = `appendFile chmod chown copyFile cp link mkdir mkdtemp rename rm rmdir symlink truncate unlink utimes writeFile`.split(' ');

  const module = { promises: {}, constants: { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1 } };
  const add = (name, sync) => {
    module[`${name}Sync`] = sync;
    module.promises[name] = async (...args) => sync(...args);
    module[name] = (...args) => {
      const done = args.pop();
      module.promises[name](...args).then((value) => done(null, value), done);
    };
  };
  for (const name of Object.keys(reading)) add(name, reading[name]);
  for (const name of refusedNames) {
    add(name, (file) => { notice(`fs.${name} of ${String(file?.href ?? file)} was not done: a configuration changes no files`); });
  }
  module.existsSync = (file) => { try { ask('stat', 'access', file); return true; } catch { return false; } };
  module.exists = (file, done) => done(module.existsSync(file));
  return module;
})();
