// As much of Buffer as reading a file and encoding a text needs.
(() => {
class Buffer extends Uint8Array {
  static from(source, encoding) {
    if (typeof source !== 'string') return new Buffer(source instanceof ArrayBuffer ? source : [...source]);
    return Buffer.ofBytes(host('encode', source, encoding || 'utf8').bytes);
  }

  static ofBytes(latin1) {
    const buffer = new Buffer(latin1.length);
    for (let i = 0; i < latin1.length; i += 1) buffer[i] = latin1.charCodeAt(i);
    return buffer;
  }

  static alloc(size, fill = 0) { return new Buffer(size).fill(fill); }

  static isBuffer(value) { return value instanceof Buffer; }

  static byteLength(text, encoding) { return Buffer.from(text, encoding).length; }

  static concat(list) { return new Buffer(list.flatMap((part) => [...part])); }

  toString(encoding = 'utf8') {
    let latin1 = '';
    for (const byte of this) latin1 += String.fromCharCode(byte);
    return host('decode', latin1, encoding).text;
  }

  toJSON() { return { type: 'Buffer', data: [...this] }; }
}

return { Buffer };
})();
