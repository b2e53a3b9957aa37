'use strict';
// The business end: as many instances as there are CPUs.

const { closed, instance, onStop, reply, serve } = require('../../lib/web.js');

const server = serve((request, response, url) => {
  if (url.pathname === '/health') return reply(response, 200, { service: 'backend', instance, gc: typeof global.gc });
  return reply(response, 200, { service: 'backend', instance, path: url.pathname });
});

server.listen(Number(process.env.BACKEND_PORT), () => console.log('backend listens'));
onStop(() => closed(server));
