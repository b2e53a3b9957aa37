// Evaluates a configuration in a real Node, where packages can be loaded. The result goes to a descriptor of
// its own, so that nothing a package prints can get into it. What has side effects is refused as in the engine.
const { openSync, readFileSync, writeSync } = require('node:fs');
const nodePath = require('node:path');
const { pathToFileURL } = require('node:url');
const Module = require('node:module');

const facts = JSON.parse(readFileSync('/dev/stdin', 'utf8'));
const notices = [];
const notice = (text) => { if (notices.length < 50) notices.push(text.slice(0, 500)); };
const print = (chunk) => {
  for (const line of String(chunk).split('\n')) if (line.trim()) notice(`it prints: ${line}`);
  return true;
};
const { reallyExit } = process;
const finish = (result) => {
  const { json = 'null', ...rest } = result;
  const bytes = Buffer.from(`${JSON.stringify({ ...rest, notices, secrets: [] }).slice(0, -1)},"value":${json}}`);
  const out = typeof Deno === 'undefined' ? facts.resultFd : openSync(`/proc/self/fd/${facts.resultFd}`, 'w'); // it knows only descriptors of its own
  for (let at = 0; at < bytes.length;) at += writeSync(out, bytes, at);
  reallyExit.call(process, 0);
};
const describe = (error) => (error === null || typeof error !== 'object'
  ? { message: `throws ${String(error)} (not an Error)` }
  : { name: String(error.name ?? 'Error'), message: String(error.message), stack: String(error.stack ?? '') });

const refuse = (what, why) => () => { throw new Error(`${what}() is refused in a configuration file: ${why}`); };
const share = () => { try { Module.syncBuiltinESMExports(); } catch { /* deno before 2.7 has not implemented it */ } };
const childProcess = require('node:child_process');
for (const name of ['exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync']) {
  childProcess[name] = refuse(`child_process.${name}`, 'it may not start processes');
}
const fs = require('node:fs');
for (const name of ['appendFile', 'chmod', 'chown', 'copyFile', 'cp', 'link', 'mkdir', 'rename', 'rm', 'rmdir', 'symlink', 'truncate', 'unlink', 'writeFile']) {
  const skipped = (file) => notice(`fs.${name} of ${String(file)} was not done: a configuration changes no files`);
  fs[`${name}Sync`] = skipped;
  fs[name] = (...args) => { skipped(args[0]); const done = args.pop(); if (typeof done === 'function') done(null); };
  fs.promises[name] = async (file) => skipped(file);
}
share();
const os = require('node:os');
os.cpus = () => Array.from({ length: facts.cpus }, () => ({ model: 'cpu', speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } }));
os.availableParallelism = () => facts.cpus;
os.networkInterfaces = () => facts.interfaces; // its own network is an empty one
share();
process.stdout.write = print;
process.stderr.write = print;
for (const name of ['exit', 'reallyExit', 'abort', 'kill']) process[name] = refuse(`process.${name}`, 'it is not its process');
process.argv = facts.argv;
process.execPath = facts.execPath;
const initialEnv = { ...process.env };

const load = async () => {
  const asCommonJs = () => {
    const module = new Module(facts.file, null);
    module.filename = facts.file;
    module.paths = Module._nodeModulePaths(nodePath.dirname(facts.file));
    module._compile(facts.text.replace(/^#!/, '//'), facts.file);
    return module.exports;
  };
  if (!facts.isModule) return asCommonJs();
  return { ...(await import(pathToFileURL(facts.file).href)) };
};

load()
  .then((exported) => unwrap(exported, process.env))
  .then((value) => {
    const env = {};
    for (const key of Object.keys(process.env)) if (process.env[key] !== initialEnv[key]) env[key] = process.env[key];
    for (const key of Object.keys(initialEnv)) if (!(key in process.env)) env[key] = null;
    finish({ json: serialize(value, notice) ?? 'null', env });
  })
  .catch((error) => finish({ error: describe(error) }));
process.on('uncaughtException', (error) => finish({ error: describe(error) }));
process.on('exit', () => finish({ error: { message: 'waits for something that never comes: its promise is never settled' } }));
