'use strict';
// A service that leaks: every request leaves a piece of memory behind. Its components start in a fixed order.

const { closed, onStop, reply, serve } = require('../lib/web.js');

const leakedBytes = Number(process.env.LEAK_KB || 64) * 1024;
const kept = [];

function component(name, start) {
  return async () => {
    await start();
    console.log(`component ${name} started`);
  };
}

const server = serve((request, response, url) => {
  const { rss } = process.memoryUsage();
  if (url.pathname === '/health') return reply(response, 200, { ok: true, rss });
  if (url.pathname === '/noise') for (let line = 0; line < 1024; line += 1) console.log('#'.repeat(1023));
  if (url.pathname === '/broken') console.error('Error: broken on request');
  kept.push(Buffer.alloc(leakedBytes, 1));
  return reply(response, 200, { kept: kept.length, rss });
});

async function main() {
  await component('configuration', async () => {})();
  await component('cache', async () => new Promise((resolve) => setTimeout(resolve, 20)))();
  await component('scheduler', async () => {})();
  await component('http', () => new Promise((resolve) => server.listen(Number(process.env.PORT), resolve)))();
}

onStop(() => closed(server));
main();
