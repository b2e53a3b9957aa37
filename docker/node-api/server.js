'use strict';
// A plain Node API that knows nothing of its supervisor: run as a cluster it shares its port with its twins.

const http = require('node:http');

const port = Number(process.env.PORT || 3000);
const started = Date.now();
let served = 0;

const server = http.createServer((request, response) => {
  served += 1;
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/health') return reply(response, 200, { ok: true, uptime_ms: Date.now() - started });
  if (url.pathname === '/') {
    return reply(response, 200, { hello: 'from node', pid: process.pid, served });
  }
  if (url.pathname === '/slow') {
    const ms = Math.min(Number(url.searchParams.get('ms')) || 1000, 10000);
    return setTimeout(() => reply(response, 200, { waited_ms: ms, pid: process.pid }), ms);
  }
  return reply(response, 404, { error: 'there are /, /slow?ms=N and /health' });
});

function reply(response, status, body) {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'x-instance': process.env.NODE_APP_INSTANCE || '0',
  });
  response.end(text);
}

server.listen(port, () => console.log(JSON.stringify({ level: 'info', message: `listening on port ${port}` })));
