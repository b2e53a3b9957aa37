'use strict';
// Takes one item after the other from a Redis list; what the aggregator and the worker have in common.

const { Redis } = require('../lib/redis.js');
const { onStop } = require('../lib/web.js');

const WAIT_S = 0.2;

async function consume(list, handle) {
  const redis = new Redis(process.env.REDIS_URL);
  let running = true;
  const loop = (async () => {
    while (running) {
      const item = await redis.command('BLPOP', list, WAIT_S);
      if (item) await handle(redis, JSON.parse(item[1]));
    }
  })();
  onStop(async () => {
    running = false;
    await loop; // an item that has been taken is finished
    redis.close();
  });
  console.log(`consuming ${list}`); // now that it can be stopped
  await loop;
}

module.exports = { consume };
