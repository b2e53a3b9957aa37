// A program in fork mode that says when it is ready and ends when it is told to.
const after = +(process.env.READY_AFTER || 0);
setTimeout(() => process.send('ready'), after);
process.on('message', (message) => {
  if (message !== 'shutdown') return;
  console.log('goodbye');
  process.disconnect();
});
process.on('SIGTERM', () => console.log('a signal came instead'));
