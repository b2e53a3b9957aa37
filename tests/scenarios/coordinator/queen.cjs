'use strict';
// The coordinator: loads its state, then reports that it is ready; stops only when its requests are answered.

const { closed, instance, onStop, reply, serve } = require('../lib/web.js');

const shown = ['NODE_ENV', 'PORT', 'LOG_LEVEL', 'LOG_FORMAT', 'CLUSTER_MODE', 'PM_FAILOVER_ENABLED', 'NODE_OPTIONS'];

function log(level, message, extra) {
  console.log(JSON.stringify({ timestamp: new Date().toISOString(), level, message, queen: Number(instance), ...extra }));
}

const server = serve(async (request, response, url) => {
  if (url.pathname === '/health') return reply(response, 200, { ok: true });
  if (url.pathname === '/env') {
    return reply(response, 200, Object.fromEntries(shown.map((name) => [name, process.env[name]])));
  }
  if (url.pathname === '/slow') {
    log('info', 'thinking');
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return reply(response, 200, { queen: instance, heap_limit: require('node:v8').getHeapStatistics().heap_size_limit });
});

server.listen(Number(process.env.PORT), () => {
  setTimeout(() => {
    log('info', 'state loaded', { port: Number(process.env.PORT) });
    if (process.send) process.send('ready');
  }, 100);
});

onStop(async () => {
  await closed(server);
  log('warn', 'failover handed on');
});
