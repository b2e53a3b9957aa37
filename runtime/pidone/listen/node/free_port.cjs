// A program that looks whether its port is free before it listens there (serve) finds those beside it answering,
// and takes another one. Until it listens it is told what it would be without them: nobody does.
//
// That is so for a port of this machine which PORT names, or its command line as the one to listen on: by `-p`, `-l`,
// `--port` or `--listen`, or as a word of its own. What connects to anything else (`--redis localhost:6379`) is none
// of our business.
'use strict';

const net = require('net');

const LOCAL = ['', 'localhost', '127.0.0.1', '::1', '0.0.0.0', '::'];
const SAYS_WHERE = /^(-[pl]|--(port|listen))(?![a-z-])/;

// The words that may say where it listens.
function words() {
  const args = process.argv.slice(2);
  return args.filter((word, at) => {
    const before = at > 0 && args[at - 1].startsWith('-') && !args[at - 1].includes('=') ? args[at - 1] : '';
    return before ? SAYS_WHERE.test(before) : SAYS_WHERE.test(word) || /^\d+$/.test(word);
  });
}

function isOwn(port, host) {
  if (!LOCAL.includes(host || '')) return false;
  const number = new RegExp(`(?<!\\d)${port}(?!\\d)`);
  return [process.env.PORT || '', ...words()].some((word) => number.test(word));
}

// The forms of net.Socket.connect(): (options), (port, host), or what net itself has made an array of.
function target(args) {
  const first = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (first !== null && typeof first === 'object') return first;
  return { port: first, host: typeof args[1] === 'string' ? args[1] : '' };
}

const { connect } = net.Socket.prototype;
const { listen } = net.Server.prototype;

function refuse(...args) {
  const { port, host } = target(args);
  if (!/^\d+$/.test(String(port)) || !isOwn(+port, host)) return connect.apply(this, args);
  const error = new Error(`connect ECONNREFUSED ${host || '127.0.0.1'}:${port}`);
  Object.assign(error, { errno: -111, code: 'ECONNREFUSED', syscall: 'connect', address: host, port: +port });
  process.nextTick(() => this.destroy(error));
  return this;
}

net.Socket.prototype.connect = refuse;
net.Server.prototype.listen = function first(...args) {
  if (net.Socket.prototype.connect === refuse) net.Socket.prototype.connect = connect;
  if (net.Server.prototype.listen === first) net.Server.prototype.listen = listen;
  return listen.apply(this, args);
};
