// What the shim itself relies on, taken before the configuration can change it.
const { parse: parseAnswer, stringify: stringifyOutcome } = JSON;
const host = (operation, ...args) => parseAnswer(ask(operation, stringifyOutcome(args)));
