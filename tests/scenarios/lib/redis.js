'use strict';
// A Redis client in a page: RESP2, pipelined commands, subscriptions. The real systems use npm packages.

const net = require('node:net');

class Redis {
  constructor(url) {
    const { hostname, port } = new URL(url);
    this.pending = [];
    this.listeners = new Map();
    this.unread = Buffer.alloc(0);
    this.socket = net.connect(Number(port), hostname).setNoDelay(true);
    this.socket.on('data', (chunk) => this.receive(chunk));
    this.socket.on('error', (error) => this.fail(error));
    this.socket.on('close', () => this.fail(new Error('Redis closed the connection')));
  }

  // One command; resolves to its reply.
  command(...words) {
    return new Promise((resolve, reject) => {
      if (this.broken) return reject(this.broken);
      this.pending.push({ resolve, reject });
      const parts = words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`);
      this.socket.write(`*${words.length}\r\n${parts.join('')}`);
    });
  }

  // From now on this connection only receives.
  subscribe(channel, listener) {
    this.listeners.set(channel, listener);
    return this.command('SUBSCRIBE', channel);
  }

  close() {
    this.broken = new Error('closed');
    this.socket.destroy();
  }

  fail(error) {
    this.broken ||= error;
    for (const { reject } of this.pending.splice(0)) reject(this.broken);
  }

  receive(chunk) {
    this.unread = Buffer.concat([this.unread, chunk]);
    for (let found = parse(this.unread, 0); found; found = parse(this.unread, 0)) {
      this.unread = this.unread.subarray(found.end);
      const { value } = found;
      const listener = Array.isArray(value) && value[0] === 'message' && this.listeners.get(value[1]);
      if (listener) listener(value[2]);
      else if (value instanceof Error) this.pending.shift().reject(value);
      else this.pending.shift().resolve(value);
    }
  }
}

// One RESP value that starts at `at`: { value, end }, or undefined while it is incomplete.
function parse(buffer, at) {
  const eol = buffer.indexOf('\r\n', at);
  if (eol < 0) return undefined;
  const text = buffer.toString('utf8', at + 1, eol);
  switch (String.fromCharCode(buffer[at])) {
    case '+':
      return { value: text, end: eol + 2 };
    case '-':
      return { value: new Error(text), end: eol + 2 };
    case ':':
      return { value: Number(text), end: eol + 2 };
    case '$': {
      const end = eol + 2 + Number(text);
      if (Number(text) < 0) return { value: null, end: eol + 2 };
      return buffer.length < end + 2 ? undefined : { value: buffer.toString('utf8', eol + 2, end), end: end + 2 };
    }
    case '*': {
      const value = [];
      let end = eol + 2;
      for (let left = Number(text); left > 0; left -= 1) {
        const item = parse(buffer, end);
        if (!item) return undefined;
        value.push(item.value);
        end = item.end;
      }
      return { value: Number(text) < 0 ? null : value, end };
    }
    default:
      throw new Error(`not RESP: ${text}`);
  }
}

module.exports = { Redis };
