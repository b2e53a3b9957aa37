// Answers, until it is asked to hang: in the kernel, in a loop without an end, or by long steps between which it answers.
const http = require('http');
const busy = (ms) => { const end = Date.now() + ms; while (Date.now() < end); };
http.createServer((request, answer) => {
  answer.end(`${process.pid}\n`);
  if (request.url === '/wait') setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 20);
  if (request.url === '/loop') setTimeout(() => busy(1e9), 20);
  if (request.url === '/work') setInterval(() => busy(400), 500);
}).listen(+process.env.PORT);
