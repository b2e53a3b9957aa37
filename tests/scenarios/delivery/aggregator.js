'use strict';
// Counts deliveries per city. Exactly one of it may run.

const { consume } = require('./consume.js');

consume('events', async (redis, { city }) => {
  await redis.command('HINCRBY', 'stats', 'deliveries', 1);
  await redis.command('HINCRBY', 'stats', `city:${city}`, 1);
});
