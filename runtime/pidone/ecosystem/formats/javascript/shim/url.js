// node:url and the global URL. Taking addresses apart is left to the host.
(() => {
class URLSearchParams {
  #pairs = [];

  constructor(init = '') {
    if (typeof init === 'string') {
      const decode = (text) => decodeURIComponent(text.replace(/\+/g, ' '));
      for (const pair of init.replace(/^\?/, '').split('&').filter(Boolean)) {
        const [key, ...rest] = pair.split('=');
        this.#pairs.push([decode(key), decode(rest.join('='))]);
      }
    } else {
      const pairs = typeof init[Symbol.iterator] === 'function' ? [...init] : Object.entries(init);
      this.#pairs = pairs.map(([key, value]) => [String(key), String(value)]);
    }
  }

  get(key) { return this.#pairs.find(([name]) => name === key)?.[1] ?? null; }

  getAll(key) { return this.#pairs.filter(([name]) => name === key).map(([, value]) => value); }

  has(key) { return this.#pairs.some(([name]) => name === key); }

  set(key, value) { this.delete(key); this.append(key, value); }

  append(key, value) { this.#pairs.push([String(key), String(value)]); }

  delete(key) { this.#pairs = this.#pairs.filter(([name]) => name !== key); }

  forEach(visit) { for (const [key, value] of this.#pairs) visit(value, key, this); }

  keys() { return this.#pairs.map(([key]) => key)[Symbol.iterator](); }

  values() { return this.#pairs.map(([, value]) => value)[Symbol.iterator](); }

  entries() { return this.#pairs.map((pair) => [...pair])[Symbol.iterator](); }

  [Symbol.iterator]() { return this.entries(); }

  toString() {
    const encode = (text) => encodeURIComponent(text).replace(/%20/g, '+');
    return this.#pairs.map(([key, value]) => `${encode(key)}=${encode(value)}`).join('&');
  }
}

class URL {
  constructor(address, base) {
    const parts = host('url', String(address), base === undefined ? null : String(base));
    if (parts.invalid) throw Object.assign(new TypeError('Invalid URL'), { code: 'ERR_INVALID_URL', input: String(address) });
    Object.assign(this, parts);
    Object.defineProperty(this, 'searchParams', { value: new URLSearchParams(parts.search) });
  }

  static canParse(address, base) { try { return Boolean(new URL(address, base)); } catch { return false; } }

  get href() {
    const user = this.username && `${this.username}${this.password && `:${this.password}`}@`;
    const query = this.searchParams.toString();
    const unchanged = query === new URLSearchParams(this.search).toString();
    const search = unchanged ? this.search : query && `?${query}`;
    return `${this.protocol}${this.slashes ? '//' : ''}${user}${this.host}${this.pathname}${search}${this.hash}`;
  }

  toString() { return this.href; }

  toJSON() { return this.href; }
}

return {
  URL,
  URLSearchParams,
  fileURLToPath(address) {
    const parsed = typeof address === 'string' ? new URL(address) : address;
    if (parsed.protocol !== 'file:') throw Object.assign(new TypeError('The URL must be of scheme file'), { code: 'ERR_INVALID_URL_SCHEME' });
    return decodeURIComponent(parsed.pathname);
  },
  pathToFileURL(file) {
    const absolute = path.resolve(file) + (file.endsWith('/') && file !== '/' ? '/' : '');
    return new URL(`file://${encodeURI(absolute).replace(/[?#]/g, encodeURIComponent)}`);
  },
  parse(address) { const parsed = new URL(address); return { ...parsed, href: parsed.href, path: parsed.pathname + parsed.search, query: parsed.search.slice(1) }; },
  format: (address) => String(address.href ?? address),
};
})();
