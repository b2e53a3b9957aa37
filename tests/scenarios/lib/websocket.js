'use strict';
// The server's side of a WebSocket (RFC 6455) in a page: text frames and the closing handshake.

const crypto = require('node:crypto');

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'; // RFC 6455, 1.3
const TEXT = 1;
const CLOSE = 8;

class WebSocket {
  // Answers an HTTP upgrade; `onText` gets each text frame, `onClose` the end of the connection.
  constructor(request, socket, { onText, onClose }) {
    const accept = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64');
    this.socket = socket.setNoDelay(true);
    this.unread = Buffer.alloc(0);
    this.onText = onText;
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
        `sec-websocket-accept: ${accept}\r\n\r\n`,
    );
    socket.on('data', (chunk) => this.receive(chunk));
    socket.on('close', onClose);
    socket.on('error', () => socket.destroy()); // a client that is gone; `close` follows
  }

  send(value) {
    this.write(TEXT, Buffer.from(JSON.stringify(value)));
  }

  close(code) {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.write(CLOSE, payload);
    this.socket.end();
  }

  write(opcode, payload) {
    if (!this.socket.writable) return;
    const long = payload.length > 125;
    const head = Buffer.alloc(long ? 4 : 2);
    head[0] = 0x80 | opcode;
    head[1] = long ? 126 : payload.length;
    if (long) head.writeUInt16BE(payload.length, 2);
    this.socket.write(Buffer.concat([head, payload]));
  }

  receive(chunk) {
    this.unread = Buffer.concat([this.unread, chunk]);
    while (this.unread.length >= 2) {
      const short = this.unread[1] & 0x7f;
      const start = short === 126 ? 8 : 6; // client frames are masked: four more bytes
      if (this.unread.length < start) return;
      const length = short === 126 ? this.unread.readUInt16BE(2) : short;
      if (this.unread.length < start + length) return;
      const mask = this.unread.subarray(start - 4, start);
      const payload = Buffer.from(this.unread.subarray(start, start + length)).map((byte, n) => byte ^ mask[n % 4]);
      const opcode = this.unread[0] & 0x0f;
      this.unread = this.unread.subarray(start + length);
      if (opcode === TEXT) this.onText(payload.toString());
      if (opcode === CLOSE) this.close(1000);
    }
  }
}

module.exports = { WebSocket };
