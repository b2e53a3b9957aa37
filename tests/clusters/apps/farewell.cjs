// A server with work that never ends by itself; it says farewell at its exit, or handles SIGTERM.
require('./web.cjs');
setInterval(() => {}, 1000);
if (process.env.HANDLE) process.on('SIGTERM', () => { console.log('handled'); process.exit(7); });
else process.on('exit', () => console.log('farewell'));
