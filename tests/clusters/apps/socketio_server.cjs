// An ordinary socket.io server, long polling only: what several workers without sticky sessions cannot serve.
const server = require('http').createServer();
const { Server } = require('socket.io');
new Server(server, { transports: ['polling'] }).on('connection', (socket) => {
  socket.on('who', (answer) => answer(process.pid));
});
server.listen(+process.env.PORT);
