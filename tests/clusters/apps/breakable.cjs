// A server that crashes, or starts but never listens, when the environment says so.
if (process.env.BREAK === 'crash') throw new Error('broken');
if (process.env.BREAK === 'silent') setInterval(() => {}, 1000);
else require('./web.cjs');
