// A server that crashes, at once or after it has listened, or never listens, when the environment says so.
if (process.env.BREAK === 'crash') throw new Error('broken');
if (process.env.BREAK === 'silent') setInterval(() => {}, 1000);
else require('./web.cjs');
if (process.env.BREAK === 'late') require('cluster').worker.once('listening', () => { throw new Error('broken'); });
