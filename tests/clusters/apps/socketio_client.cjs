// Long-polling clients from many addresses, each of which asks 20 times who serves it; prints [address, pids].
const { Agent } = require('http');
const { io } = require('socket.io-client');

async function ask(address) {
  const agent = new Agent({ localAddress: address });
  const socket = io(`http://127.0.0.1:${process.env.PORT}`, { transports: ['polling'], agent, forceNew: true });
  socket.on('connect_error', (error) => { console.error(address, error.message); process.exit(1); });
  socket.on('disconnect', (reason) => {
    if (reason !== 'io client disconnect') { console.error(address, reason); process.exit(1); }
  });
  const pids = new Set();
  for (let n = 0; n < 20; n++) pids.add(await socket.timeout(15000).emitWithAck('who'));
  socket.disconnect();
  return [address, [...pids]];
}

const addresses = Array.from({ length: 16 }, (_, n) => `127.0.0.${n + 2}`);
Promise.all(addresses.map(ask)).then((found) => {
  console.log(JSON.stringify(found));
  process.exit(0);
}, (error) => { console.error(error); process.exit(1); });
