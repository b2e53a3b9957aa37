// A server of HTTP that asks for its port alone (`exclusive: true`: srvx, and with it h3, Nitro and TanStack Start)
// or beside others by the kernel (`reusePort: true`) shares it all the same: one of several workers would have it, or
// each a queue that ends with it. A port of the kernel's choice is its own, and so is what does not speak HTTP: to
// listen alone is how some find out who of them leads.
'use strict';

const net = require('net');

const { listen } = net.Server.prototype;

// All servers of HTTP have a timeout, and no others: to ask by their classes would load those.
net.Server.prototype.listen = function shared(...args) {
  const [options] = args;
  const isAlone = options !== null && typeof options === 'object' && (options.exclusive || options.reusePort);
  if (isAlone && options.port > 0 && 'timeout' in this) {
    args[0] = Object.assign({}, options, { exclusive: false, reusePort: false });
  }
  return listen.apply(this, args);
};
