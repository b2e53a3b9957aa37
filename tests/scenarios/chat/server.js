'use strict';
// Chat rooms over several instances: a message is stored, acknowledged, then published to all of them.

const { Redis } = require('../lib/redis.js');
const { closed, instance, onStop, reply, serve } = require('../lib/web.js');
const { WebSocket } = require('../lib/websocket.js');

const SERVICE_RESTART = 1012;

const redis = new Redis(process.env.REDIS_URL);
const subscription = new Redis(process.env.REDIS_URL);
const rooms = new Map(); // name -> Map of socket -> the last number it has been sent

const server = serve(async (request, response, url) => {
  if (url.pathname === '/env') {
    const { NODE_ENV, DB_POOL_MAX, HEALTH_GRACE_MS } = process.env;
    return reply(response, 200, { NODE_ENV, DB_POOL_MAX, HEALTH_GRACE_MS });
  }
  const pong = await redis.command('PING').catch((error) => error.message);
  return reply(response, pong === 'PONG' ? 200 : 503, { redis: pong, instance });
});

server.on('upgrade', (request, socket) => {
  const url = new URL(request.url, 'http://localhost');
  const room = url.pathname.slice(1);
  const client = new WebSocket(request, socket, {
    onText: (text) => say(room, client, JSON.parse(text)),
    onClose: () => members(room).delete(client),
  });
  members(room).set(client, Number(url.searchParams.get('after') || 0));
  client.send({ type: 'hello', instance });
  deliver(room);
});

function members(room) {
  if (!rooms.has(room)) rooms.set(room, new Map());
  return rooms.get(room);
}

async function say(room, client, { key, text }) {
  const seq = await redis.command('RPUSH', `room:${room}`, JSON.stringify({ key, text }));
  client.send({ type: 'ack', key, seq });
  await redis.command('PUBLISH', 'rooms', room);
}

// Sends every member what it has not been sent yet; a publication only says that there is something.
async function deliver(room) {
  for (const client of members(room).keys()) await update(room, client);
}

async function update(room, client) {
  for (let from; (from = members(room).get(client)) !== undefined; ) {
    const items = await redis.command('LRANGE', `room:${room}`, from, -1);
    if (members(room).get(client) !== from) continue; // another delivery was faster, and may have read too early
    items.forEach((item, n) => client.send({ type: 'message', seq: from + n + 1, ...JSON.parse(item) }));
    members(room).set(client, from + items.length);
    return;
  }
}

subscription.subscribe('rooms', deliver).then(() => {
  server.listen(Number(process.env.PORT), () => console.log(`chat ${instance} listens on ${process.env.PORT}`));
});

onStop(async () => {
  for (const room of rooms.values()) for (const client of room.keys()) client.close(SERVICE_RESTART);
  await closed(server);
  redis.close();
  subscription.close();
});
