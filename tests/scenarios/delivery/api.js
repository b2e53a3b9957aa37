'use strict';
// The delivery API. Its instances share nothing: sessions live in Redis, work leaves through Redis lists.

const crypto = require('node:crypto');
const { Redis } = require('../lib/redis.js');
const { body, closed, instance, onStop, reply, serve } = require('../lib/web.js');

const redis = new Redis(process.env.REDIS_URL);
const SESSION_S = 3600;

async function login(request, response) {
  const { user } = await body(request);
  const token = crypto.randomUUID();
  await redis.command('SET', `session:${token}`, user, 'EX', SESSION_S);
  reply(response, 201, { token });
}

async function me(request, response) {
  const user = await redis.command('GET', `session:${request.headers['x-session']}`);
  if (user === null) return reply(response, 401, { error: 'no session' });
  return reply(response, 200, { user, answered_by: instance });
}

async function order(request, response) {
  const parcel = JSON.stringify(await body(request));
  await redis.command('RPUSH', 'events', parcel);
  await redis.command('RPUSH', 'work', parcel);
  reply(response, 202, { accepted: true });
}

async function stats(request, response) {
  const pairs = await redis.command('HGETALL', 'stats');
  const fields = pairs.flatMap((name, n) => (n % 2 ? [] : [[name, Number(pairs[n + 1])]]));
  reply(response, 200, Object.fromEntries(fields));
}

async function health(request, response) {
  const pong = await redis.command('PING').catch((error) => error.message);
  reply(response, pong === 'PONG' ? 200 : 503, { redis: pong });
}

const routes = {
  'POST /login': login,
  'GET /me': me,
  'POST /deliveries': order,
  'GET /stats': stats,
  'GET /health': health,
};

const server = serve((request, response, url) => {
  const route = routes[`${request.method} ${url.pathname}`];
  return route ? route(request, response) : reply(response, 404, { error: 'not here' });
});

server.listen(Number(process.env.PORT), () => console.log(`api ${instance} listens on ${process.env.PORT}`));

onStop(async () => {
  await closed(server);
  redis.close();
});
