'use strict';
// Finds a courier for each delivery. Exactly one of it may run.

const { consume } = require('./consume.js');

consume('work', (redis) => redis.command('HINCRBY', 'stats', 'assigned', 1));
