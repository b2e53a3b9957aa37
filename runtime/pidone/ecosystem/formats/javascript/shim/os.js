// node:os, with this container's CPUs instead of the machine's.
(() => {
  let known;
  const system = () => { known ??= host('system'); return known; };
  const cpu = () => ({ model: 'cpu', speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } });
  return {
    EOL: '\n', devNull: '/dev/null', constants: { signals: {}, errno: {}, priority: {} },
    cpus: () => Array.from({ length: facts.cpus }, cpu),
    availableParallelism: () => facts.cpus,
    totalmem: () => system().totalmem, freemem: () => system().freemem,
    hostname: () => system().hostname, release: () => system().release, version: () => system().version, machine: () => system().machine,
    uptime: () => system().uptime, loadavg: () => system().loadavg,
    platform: () => 'linux', type: () => 'Linux', arch: () => facts.arch, endianness: () => 'LE',
    homedir: () => process.env.HOME || system().user.homedir,
    tmpdir: () => (process.env.TMPDIR || process.env.TMP || process.env.TEMP || '/tmp').replace(/(?!^)\/$/, ''),
    userInfo: () => system().user,
    networkInterfaces: () => host('interfaces'),
    getPriority: () => 0, setPriority() {},
  };
})();
