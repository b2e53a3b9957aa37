'use strict';
// Signs and checks tokens. Stateless, so any instance can check what another has signed.

const crypto = require('node:crypto');
const { body, closed, instance, onMemoryHigh, onStop, reply, serve } = require('../../lib/web.js');

const sign = (user) => crypto.createHmac('sha256', process.env.AUTH_KEY).update(user).digest('hex');

const server = serve(async (request, response, url) => {
  if (url.pathname === '/health') return reply(response, 200, { service: 'auth', instance, gc: typeof global.gc });
  const { user, token } = await body(request);
  if (url.pathname === '/sign') return reply(response, 201, { user, token: sign(user) });
  return reply(response, token === sign(user) ? 200 : 403, { user });
});

server.listen(Number(process.env.AUTH_PORT), () => console.log('auth listens'));
onMemoryHigh(() => {});
onStop(() => closed(server));
