const http = require('node:http');

http
  .createServer(async (request, response) => {
    const answer = await fetch(process.env.API);
    response.end(await answer.text());
  })
  .listen(Number(process.env.PORT));
