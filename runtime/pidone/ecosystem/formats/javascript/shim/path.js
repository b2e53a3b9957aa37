// node:path, POSIX flavour.
const path = (() => {
  const normalizeParts = (text, absolute) => {
    const kept = [];
    for (const part of text.split('/')) {
      if (part === '' || part === '.') continue;
      if (part !== '..') kept.push(part);
      else if (kept.length && kept[kept.length - 1] !== '..') kept.pop();
      else if (!absolute) kept.push('..');
    }
    return kept.join('/');
  };
  const check = (value, name = 'path') => {
    if (typeof value === 'string') return value;
    const shown = value === null || value === undefined ? ` Received ${value}` : ` Received type ${typeof value}`;
    throw Object.assign(new TypeError(`The "${name}" argument must be of type string.${shown}`), { code: 'ERR_INVALID_ARG_TYPE' });
  };
  const posix = {
    sep: '/',
    delimiter: ':',
    isAbsolute: (p) => check(p).startsWith('/'),
    normalize(p) {
      if (check(p) === '') return '.';
      const absolute = p.startsWith('/');
      let inner = normalizeParts(p, absolute);
      if (!inner) return absolute ? '/' : p.endsWith('/') ? './' : '.';
      if (p.endsWith('/')) inner += '/';
      return absolute ? `/${inner}` : inner;
    },
    join(...parts) {
      const joined = parts.map((p) => check(p)).filter(Boolean).join('/');
      return joined ? posix.normalize(joined) : '.';
    },
    resolve(...parts) {
      let resolved = '';
      for (let i = parts.length - 1; i >= 0 && !resolved.startsWith('/'); i -= 1) {
        const part = check(parts[i], `paths[${i}]`);
        if (part) resolved = resolved ? `${part}/${resolved}` : part;
      }
      if (!resolved.startsWith('/')) resolved = `${process.cwd()}/${resolved}`;
      return `/${normalizeParts(resolved, true)}`;
    },
    dirname(p) {
      const trimmed = check(p).replace(/(?!^)\/+$/, '');
      const cut = trimmed.lastIndexOf('/');
      if (cut < 0) return '.';
      return trimmed.slice(0, cut).replace(/(?!^)\/+$/, '') || '/';
    },
    basename(p, suffix = '') {
      const trimmed = check(p).replace(/\/+$/, '');
      const base = trimmed.slice(trimmed.lastIndexOf('/') + 1);
      return suffix && base !== suffix && base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
    },
    extname(p) {
      const base = posix.basename(p);
      const dot = base.lastIndexOf('.');
      return dot <= 0 || /^\.+$/.test(base.slice(0, dot + 1)) ? '' : base.slice(dot);
    },
    relative(from, to) {
      const source = posix.resolve(check(from, 'from')).split('/').filter(Boolean);
      const target = posix.resolve(check(to, 'to')).split('/').filter(Boolean);
      let same = 0;
      while (same < source.length && same < target.length && source[same] === target[same]) same += 1;
      return [...source.slice(same).map(() => '..'), ...target.slice(same)].join('/');
    },
    parse(p) {
      const base = posix.basename(p);
      const ext = posix.extname(p);
      const root = check(p).startsWith('/') ? '/' : '';
      const dir = p.includes('/') ? posix.dirname(p) : '';
      return { root, dir, base, ext, name: ext ? base.slice(0, -ext.length) : base };
    },
    format({ root = '', dir, base, name = '', ext = '' }) {
      const file = base || name + (ext && !ext.startsWith('.') ? `.${ext}` : ext);
      if (!dir) return root + file;
      return dir === root ? dir + file : `${dir}/${file}`;
    },
    toNamespacedPath: (p) => p,
  };
  posix.posix = posix;
  return posix;
})();
