// An ordinary HTTP server: says who it is and what it was made from.
const body = `${process.pid} ${process.env.GENERATION || 0}`;
require('http').createServer((request, response) => {
  setTimeout(() => response.end(body), request.url === '/slow' ? 500 : 0);
}).listen(+process.env.PORT);
