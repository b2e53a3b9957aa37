// Finishes the keep-alive connections of a cluster worker when pidone asks for it; idle until then.
//
// Node's own server.close() cuts idle keep-alive connections at once (since 18.19), and a client that sends
// its next request in that moment sees a reset. Here every answer after the drain message says
// `Connection: close` instead, so that the client lets go itself.
'use strict';

const { isMainThread } = require('worker_threads');

const restored = process.env.PIDONE_NODE_OPTIONS;
if (restored !== undefined) {
  // Processes that the app starts see NODE_OPTIONS as the user wrote it.
  delete process.env.PIDONE_NODE_OPTIONS;
  if (restored) process.env.NODE_OPTIONS = restored;
  else delete process.env.NODE_OPTIONS;
}

if (isMainThread && process.channel) {
  // 'internalMessage' carries what has a `cmd` that begins with NODE_; unlike 'message' it keeps no loop alive.
  process.on('internalMessage', function onMessage(message) {
    if (message.cmd !== 'NODE_PIDONE_DRAIN') return;
    process.removeListener('internalMessage', onMessage);
    drain(message.idle);
  });
}

function drain(idleMs) {
  const net = require('net');
  const handles = process._getActiveHandles();
  const servers = handles.filter((handle) => handle instanceof net.Server && handle.listening);
  const started = Date.now();

  for (const server of servers) {
    if (isHttp(server)) {
      server.prependListener('request', (request, response) => { response.shouldKeepAlive = false; });
    }
    stopAccepting(net, server);
  }
  for (const socket of handles) {
    const response = socket._httpMessage;
    if (response && !response.headersSent) response.shouldKeepAlive = false;
  }

  const timer = setInterval(() => {
    if (Date.now() - started >= idleMs) servers.filter(isHttp).forEach((server) => server.closeIdleConnections());
    const upgraded = process._getActiveHandles().filter(isUpgraded);
    Promise.all(servers.map((server) => open(server, upgraded))).then((counts) => {
      if (counts.some((count) => count > 0)) return;
      clearInterval(timer);
      if (process.connected) process.send({ cmd: 'NODE_PIDONE_DRAINED' });
    });
  }, 20);
}

function isHttp(server) {
  return Boolean(server) && typeof server.closeIdleConnections === 'function';
}

// A WebSocket does not end by itself: it is left to the app's own stop, which gets the time to say goodbye.
function isUpgraded(socket) {
  return Boolean(socket.server) && isHttp(socket.server) && socket.parser === null;
}

function open(server, upgraded) {
  return new Promise((resolve) => {
    server.getConnections((error, count) => {
      resolve(error ? 0 : count - upgraded.filter((socket) => socket.server === server).length);
    });
  });
}

// net.Server's close, because that of http.Server cuts idle connections. The app may close the server again
// in its own stop: that must not be an error.
function stopAccepting(net, server) {
  let closed = false;
  server.once('close', () => { closed = true; });
  net.Server.prototype.close.call(server);
  server.close = function close(callback) {
    if (typeof callback === 'function') {
      if (closed) process.nextTick(callback);
      else server.once('close', () => callback());
    }
    if (isHttp(server)) server.closeIdleConnections();
    return server;
  };
}
