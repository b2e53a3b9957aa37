// A cluster worker that listens at once, but says "ready" only later, if ever.
require('./web.cjs');
process.on('message', (message) => {
  if (message === 'shutdown') { console.log('goodbye'); process.exit(0); }
});
if (process.env.READY_AFTER) setTimeout(() => process.send('ready'), +process.env.READY_AFTER);
