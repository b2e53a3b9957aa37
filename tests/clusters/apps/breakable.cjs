// A server that crashes, at once or when it has got its port, or never listens, when the environment says so.
if (process.env.BREAK === 'crash') throw new Error('broken');
if (process.env.BREAK === 'late') {
  const { Server } = require('net');
  const { listen } = Server.prototype;
  Server.prototype.listen = function listenAndBreak(...args) {
    this.once('listening', () => { throw new Error('broken'); });
    return listen.apply(this, args);
  };
}
if (process.env.BREAK === 'silent') setInterval(() => {}, 1000);
else require('./web.cjs');
