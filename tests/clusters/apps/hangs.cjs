// Answers, until it is asked to hang: in the kernel, in a loop without an end, or by long steps between which it answers.
const http = require('http');
const busy = (ms) => { const end = Date.now() + ms; while (Date.now() < end); };
const hang = {
  '/wait': () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  '/loop': () => busy(1e9),
  '/work': () => setInterval(() => busy(400), 500),
};
http.createServer((request, answer) => {
  answer.end(`${process.pid}\n`);
  // At the end of the turn in which the answer leaves: who comes after it is accepted by somebody else.
  if (request.url in hang) setImmediate(hang[request.url]);
}).listen(+process.env.PORT);
