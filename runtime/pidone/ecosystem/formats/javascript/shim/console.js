// console, util.format and util.inspect: output becomes notices and never part of the value.
const MAX_NOTICES = 50, MAX_NOTICE_CHARS = 500;
const notices = [];
let unfinished = '';
const notice = (text) => {
  if (notices.length === MAX_NOTICES) notices.push('... and more, not shown');
  if (notices.length < MAX_NOTICES) notices.push(text.length > MAX_NOTICE_CHARS ? `${text.slice(0, MAX_NOTICE_CHARS)}...` : text);
};
const print = (text) => {
  if (notices.length > MAX_NOTICES) return;
  const lines = (unfinished.slice(0, 2 * MAX_NOTICE_CHARS) + text.slice(0, 64 * MAX_NOTICE_CHARS)).split('\n');
  unfinished = lines.pop();
  for (const line of lines) if (line.trim()) notice(`it prints: ${line}`);
};
const flushNotices = () => { if (unfinished.trim()) print('\n'); return notices; };

const inspect = (value, options) => {
  const limit = typeof options === 'object' && options && options.depth !== undefined ? options.depth ?? 10 : 2;
  const open = [];
  const show = (item, depth) => {
    if (typeof item === 'string') return depth ? `'${item}'` : item;
    if (typeof item === 'bigint') return `${item}n`;
    if (typeof item === 'function') return item.name ? `[Function: ${item.name}]` : '[Function (anonymous)]';
    if (typeof item !== 'object' || item === null) return Object.is(item, -0) ? '-0' : String(item);
    if (item instanceof Error) return item.stack ? `${item.name}: ${item.message}` : String(item);
    if (item instanceof Date) return Number.isFinite(item.getTime()) ? item.toISOString() : 'Invalid Date';
    if (item instanceof RegExp) return String(item);
    if (open.includes(item)) return '[Circular *1]';
    if (depth > limit) return Array.isArray(item) ? '[Array]' : '[Object]';
    open.push(item);
    let shown;
    if (Array.isArray(item)) {
      const parts = item.slice(0, 100).map((entry) => show(entry, depth + 1));
      shown = parts.length ? `[ ${parts.join(', ')} ]` : '[]';
    } else {
      const name = (key) => (/^[A-Za-z_$][\w$]*$/.test(key) ? key : `'${key}'`);
      const parts = Object.keys(item).slice(0, 100).map((key) => `${name(key)}: ${show(item[key], depth + 1)}`);
      shown = parts.length ? `{ ${parts.join(', ')} }` : '{}';
    }
    open.pop();
    return shown;
  };
  return show(value, typeof value === 'string' ? 1 : 0);
};

const format = (first, ...rest) => {
  if (typeof first !== 'string') return [first, ...rest].map((v) => (typeof v === 'string' ? v : inspect(v))).join(' ');
  const text = first.replace(/%[sdifjoOc%]/g, (code) => {
    if (code === '%%') return '%';
    if (!rest.length) return code;
    const value = rest.shift();
    switch (code) {
      case '%s': return typeof value === 'object' ? inspect(value) : String(value);
      case '%d': return String(Number(value));
      case '%i': return String(Number.parseInt(value, 10));
      case '%f': return String(Number.parseFloat(value));
      case '%j': return JSON.stringify(value);
      case '%c': return '';
      default: return inspect(value);
    }
  });
  return [text, ...rest.map((v) => (typeof v === 'string' ? v : inspect(v)))].join(' ');
};

const console = (() => {
  const line = (...args) => { if (notices.length <= MAX_NOTICES) print(`${format(...args)}\n`); };
  const quiet = () => {};
  return {
    log: line, info: line, debug: line, warn: line, error: line, dir: (v) => line(inspect(v)), table: line, trace: line, group: line,
    groupCollapsed: line, groupEnd: quiet, time: quiet, timeEnd: quiet, timeLog: quiet, count: quiet, countReset: quiet, clear: quiet,
    assert: (ok, ...args) => { if (!ok) line('Assertion failed:', ...args); },
  };
})();
