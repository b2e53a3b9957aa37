// Finishes the keep-alive connections of a cluster worker when pidone asks for it; idle until then, but for
// one look whether it is a server at all.
//
// Node's own server.close() cuts idle keep-alive connections at once (since 18.19), and a client that sends
// its next request in that moment sees a reset. Here every answer after the drain message says
// `Connection: close` instead, so that the client lets go itself.
'use strict';

const isMainThread = standsInMainThread();

const restored = process.env.PIDONE_NODE_OPTIONS;
if (restored !== undefined) {
  // Processes that the app starts see NODE_OPTIONS as the user wrote it.
  delete process.env.PIDONE_NODE_OPTIONS;
  if (restored) process.env.NODE_OPTIONS = restored;
  else delete process.env.NODE_OPTIONS;
}

// Node before 11.7 has no threads, unless it is asked for them.
function standsInMainThread() {
  try {
    return require('worker_threads').isMainThread;
  } catch (error) {
    return true;
  }
}

function tell(cmd, also) {
  if (process.connected) process.send(Object.assign({ cmd }, also));
}

if (isMainThread && process.channel) {
  require('./shared.cjs');
  require('./free_port.cjs');
  // A worker whose runtime has gone ends with 0 when it reads the end of the channel. Whoever writes before that,
  // we or Node's cluster, would end it with EPIPE as an error that nobody handles.
  const { worker } = require('cluster'); // loaded already
  if (worker) worker.on('error', (error) => {
    const hasGone = error.code === 'EPIPE' && error.syscall === 'write' && process.connected;
    if (!hasGone && worker.listenerCount('error') === 1) throw error; // as without this listener
  });
  require('./hang.cjs').answer(tell);
  // 'internalMessage' carries what has a `cmd` that begins with NODE_; unlike 'message' it keeps no loop alive.
  process.on('internalMessage', function onMessage(message) {
    if (message.cmd !== 'NODE_PIDONE_DRAIN') return;
    process.removeListener('internalMessage', onMessage);
    releaseAfter(message.stop);
    drain(message.idle, () => end(message.stop));
  });
}

// A worker of a queue never listens: nobody has to wait for that. A server has loaded Node's HTTP by the time its
// modules are, even where it listens only when its database answers. When that is, the clock does not say: modules
// load beside the loop (tsx, import()), and on a busy machine for long. So pidone asks again when it is at rest.
const LOADED_MS = 1000;
if (isMainThread && process.channel) {
  setTimeout(tellIfNoServer, LOADED_MS).unref();
  process.on('internalMessage', (message) => {
    if (message.cmd === 'NODE_PIDONE_SERVER') tellIfNoServer();
  });
}

function tellIfNoServer() {
  const serves = process.moduleLoadList.some((name) => /^NativeModule (_http_server|http2)$/.test(name));
  const listens = process._getActiveHandles().some((handle) => handle instanceof require('net').Server);
  const loaded = Boolean(process.mainModule && process.mainModule.loaded); // an ES module does not say
  if (!serves && !listens) tell('NODE_PIDONE_NO_SERVER', { loaded });
}

// Cluster's own listeners keep the channel open, and with it a process whose handler closed its servers and has
// nothing left to do. After the stop nothing more comes over the channel, so it holds nobody; before that it has
// to, or an app without open servers would be gone before its handler runs.
let releases = false;
function releaseAfter(stop) {
  // Never the only listener: that would stand between the signal and what it does by default.
  if (releases || process.listenerCount(stop) === 0) return;
  releases = true;
  process.on(stop, function release(value) {
    if (stop === 'message' && value !== 'shutdown') return;
    process.removeListener(stop, release);
    if (process.channel) process.channel.unref();
  });
}

// An app that listens to its stop (a signal's name, or 'message') gets it next. One that does not would be cut by
// the signal: hanging up makes a cluster worker exit with 0, after its exit handlers.
function end(stop) {
  if (!process.connected) return;
  releaseAfter(stop);
  if (process.listenerCount(stop) > 0) tell('NODE_PIDONE_DRAINED');
  else process.disconnect();
}

const TURN_MS = 20;

function drain(idleMs, onDrained) {
  const net = require('net');
  const handles = process._getActiveHandles();
  const servers = handles.filter((handle) => {
    return handle instanceof net.Server && handle.listening && (isHttp(handle) || isShared(handle));
  });

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

  // Turns are counted, not time: where this process got no CPU, its clients may have got none either.
  let patience = Math.ceil(idleMs / TURN_MS);
  const timer = setInterval(() => {
    patience -= 1;
    // Timers run before what has arrived is read: only after that a connection is known to have said nothing.
    if (patience <= 0) setImmediate(cutIdle, servers.filter(isHttp));
    else if (!closesIdle()) noteSilent();
    const upgraded = process._getActiveHandles().filter(isUpgraded);
    Promise.all(servers.map((server) => open(server, upgraded))).then((counts) => {
      if (counts.some((count) => count > 0)) return;
      clearInterval(timer);
      onDrained();
    });
  }, TURN_MS);
}

function isHttp(server) {
  if (!server) return false;
  const [{ Server }, secure] = [require('http'), require('https')];
  // One of HTTP/2 that speaks HTTP/1 as well is of neither, and has this.
  return server instanceof Server || server instanceof secure.Server || 'closeIdleConnections' in server;
}

// Node's cluster gives a shared handle a close() of its own. A private server that does not speak HTTP is
// none of a client's: it may be what the app talks to its helpers by, and is left to the app's own stop.
function isShared(server) {
  return Object.prototype.hasOwnProperty.call(server._handle, 'close');
}

// A WebSocket does not end by itself: it is left to the app's own stop, which gets the time to say goodbye.
function isUpgraded(socket) {
  return isOfHttp(socket) && socket.parser === null;
}

function isOfHttp(socket) {
  return Boolean(socket.server) && isHttp(socket.server); // null for outgoing connections, pipes and the like
}

function cutIdle(servers) {
  servers.forEach(closeIdle);
  // To Node a connection that never said anything is not idle: browsers open such ones in advance.
  process._getActiveHandles().filter(isOfHttp).forEach((socket) => {
    if (socket.bytesRead === 0) socket.destroy();
  });
}

// Node before 18.2 has no closeIdleConnections(). What has no answer under way is idle there, unless something of
// a request has come since the last look.
const readBefore = new WeakMap();

function closesIdle() {
  return 'closeIdleConnections' in require('http').Server.prototype;
}

function closeIdle(server) {
  if (server.closeIdleConnections) {
    server.closeIdleConnections();
    return;
  }
  for (const socket of process._getActiveHandles()) {
    const isSilent = readBefore.get(socket) === socket.bytesRead;
    if (socket.server === server && isSilent && !isUpgraded(socket) && !socket._httpMessage) socket.destroy();
  }
  noteSilent();
}

function noteSilent() {
  process._getActiveHandles().filter(isOfHttp).forEach((socket) => readBefore.set(socket, socket.bytesRead));
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
    if (isHttp(server)) closeIdle(server);
    return server;
  };
}
