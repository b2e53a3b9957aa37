'use strict';
// The only service that clients see: passes /NAME/... on to the service of that name.

const http = require('node:http');
const { closed, instance, onMemoryHigh, onStop, reply, serve } = require('../../lib/web.js');

const upstreams = {
  auth: process.env.AUTH_PORT,
  backend: process.env.BACKEND_PORT,
  ai: process.env.AI_PORT,
  data: process.env.DATA_PORT,
};
const agent = new http.Agent({ keepAlive: false });

function forward(request, response, port, path) {
  const options = { agent, host: '127.0.0.1', port, path, method: request.method, headers: request.headers };
  const onward = http.request(options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', (error) => reply(response, 502, { error: error.code }));
  request.pipe(onward);
}

const server = serve((request, response, url) => {
  if (url.pathname === '/health') return reply(response, 200, { service: 'gateway', instance, gc: typeof global.gc });
  const [, name, ...rest] = url.pathname.split('/');
  if (!upstreams[name]) return reply(response, 404, { error: 'no such service' });
  return forward(request, response, upstreams[name], `/${rest.join('/')}${url.search}`);
});

server.listen(Number(process.env.GATEWAY_PORT), () => console.log('gateway listens'));
onMemoryHigh(() => {});
onStop(() => closed(server));
