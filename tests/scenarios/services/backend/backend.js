'use strict';
// The business end: as many instances as there are CPUs. Answers are cached, here and in Redis if there is one.

const { Redis } = require('../../lib/redis.js');
const { closed, instance, onMemoryHigh, onStop, reply, serve } = require('../../lib/web.js');

const redis = process.env.REDIS_URL ? new Redis(process.env.REDIS_URL) : null;
const shared = 'cache:backend';
const cache = new Map();

async function remember(path, megabytes) {
  cache.set(path, Buffer.alloc(megabytes * 1024 * 1024, 1));
  if (redis) await redis.command('SET', shared, path);
}

const server = serve(async (request, response, url) => {
  if (url.pathname === '/health') return reply(response, 200, { service: 'backend', instance, gc: typeof global.gc });
  await remember(url.pathname, Number(url.searchParams.get('megabytes') || 0));
  return reply(response, 200, { service: 'backend', instance, path: url.pathname });
});

server.listen(Number(process.env.BACKEND_PORT), () => console.log('backend listens'));
onMemoryHigh(async () => {
  cache.clear();
  if (redis) await redis.command('DEL', shared);
});
onStop(async () => {
  await closed(server);
  if (redis) redis.close();
});
