// What the shim itself relies on, taken before the configuration can change it.
const { parse: parseAnswer, stringify } = JSON;
const host = (operation, ...args) => parseAnswer(ask(operation, encodeList(args)));

// A list of texts, numbers, booleans and nulls as JSON; JSON.stringify would call a toJSON of a polluted prototype.
const encode = (value) => (typeof value === 'object' && value !== null ? encodeList(value) : stringify(value) ?? 'null');
const encodeList = (list) => {
  let result = '';
  for (let i = 0; i < list.length; i += 1) result += (i ? ',' : '') + encode(list[i]);
  return `[${result}]`;
};
const encodeRecord = (record) => {
  let result = '';
  for (const key in record) if (ownsKey(record, key)) result += `${result && ','}${stringify(key)}:${encode(record[key])}`;
  return `{${result}}`;
};
const ownsKey = Object.hasOwn;
