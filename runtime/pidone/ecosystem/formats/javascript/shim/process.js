// The global process, as pm2-runtime's would be; what would change the world is refused.
const initialEnv = { ...facts.env };
const process = (() => {
  const asText = (value) => { if (typeof value === 'symbol') throw new TypeError('Cannot convert a Symbol value to a string'); return `${value}`; };
  const env = new Proxy({ ...facts.env }, {
    set(target, key, value) { if (typeof key === 'symbol') return false; target[key] = asText(value); return true; },
    defineProperty: (target, key, descriptor) => Reflect.defineProperty(target, key, { ...descriptor, value: asText(descriptor.value) }),
  });
  const refused = (what) => () => { throw new Error(`${what} is refused in a configuration file`); };
  const stream = (fd) => ({
    fd, columns: 80, writable: true,
    write(chunk) { print(String(chunk)); return true; },
    end() {}, on() { return this; }, once() { return this; }, emit: () => false, getColorDepth: () => 1, hasColors: () => false,
  });
  const started = Date.now();
  const nothing = function nothing() { return process; };
  return {
    title: 'node',
    get version() { lacks('process.version'); return 'v22.21.0'; },
    get versions() { lacks('process.versions'); return { node: '22.21.0', v8: '12.4.254.21-node.33' }; },
    arch: facts.arch, platform: 'linux', release: { name: 'node', lts: 'Jod' }, features: {}, config: {},
    env, argv: facts.argv, argv0: 'node', execArgv: [], execPath: facts.execPath, pid: facts.pid, ppid: facts.ppid,
    exitCode: undefined, stdout: stream(1), stderr: stream(2), stdin: { fd: 0, on: nothing, setEncoding: nothing },
    cwd: () => host('cwd').path,
    chdir: (folder) => { host('chdir', folder); },
    exit: refused('process.exit()'), abort: refused('process.abort()'), kill: refused('process.kill()'),
    reallyExit: refused('process.reallyExit()'), binding: refused('process.binding()'), dlopen: refused('process.dlopen()'),
    emitWarning: (warning) => print(`${warning?.message ?? warning}\n`),
    uptime: () => (Date.now() - started) / 1000,
    hrtime: Object.assign(() => { const ms = performance.now(); return [Math.floor(ms / 1000), Math.floor((ms % 1000) * 1e6)]; },
      { bigint: () => BigInt(Math.floor(performance.now() * 1e6)) }),
    memoryUsage: Object.assign(() => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 }), { rss: () => 0 }),
    nextTick: (task, ...args) => queueMicrotask(() => task(...args)),
    umask: () => 0o022, getuid: () => facts.uid, geteuid: () => facts.uid, getgid: () => facts.gid, getegid: () => facts.gid,
    on: nothing, once: nothing, off: nothing, addListener: nothing, removeListener: nothing, removeAllListeners: nothing,
    prependListener: nothing, emit: () => false, listeners: () => [], listenerCount: () => 0, setMaxListeners: nothing,
  };
})();

// The variables that the configuration set (a text) or deleted (null) in process.env, for instance through dotenv.
const changedEnv = () => {
  const changes = {};
  for (const key of Object.keys(process.env)) if (process.env[key] !== initialEnv[key]) changes[key] = process.env[key];
  for (const key of Object.keys(initialEnv)) if (!(key in process.env)) changes[key] = null;
  return changes;
};
