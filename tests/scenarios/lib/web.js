'use strict';
// What every Node app of the scenarios repeats: JSON over HTTP, a log line, a stop in order.

const http = require('node:http');

const instance = process.env.NODE_APP_INSTANCE || '0';

function reply(response, status, body) {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'x-instance': instance,
    'x-pid': process.pid,
  });
  response.end(text);
}

async function body(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
}

// An HTTP server whose handler may be async; what it throws becomes a 500.
function serve(handler) {
  return http.createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    Promise.resolve(handler(request, response, url)).catch((error) => reply(response, 500, { error: error.message }));
  });
}

// Runs `cleanup` once, on whatever signal asks for a stop (PM2 sends SIGINT, containers SIGTERM).
function onStop(cleanup) {
  let stopping = false;
  const stop = async (signal) => {
    if (stopping) return;
    stopping = true;
    console.log(`stopping on ${signal}`);
    await cleanup();
    console.log('stopped');
    process.exit(0);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

// Runs `trim` and collects garbage when the runtime says that memory is high (`memory_soft_limit`).
function onMemoryHigh(trim) {
  process.on('message', async (message) => {
    if (!message || message.type !== 'gc') return;
    await trim();
    if (global.gc) global.gc();
    console.log('memory trimmed');
  });
}

// Stops accepting and resolves when the requests in progress are answered.
function closed(server) {
  return new Promise((resolve) => {
    server.close(resolve);
    server.closeIdleConnections();
  });
}

module.exports = { body, closed, instance, onMemoryHigh, onStop, reply, serve };
