// dotenv (the package's file format and functions), since every tenth configuration uses it.
(() => {
  const ENTRY = /^[ \t]*(?:export[ \t]+)?([\w.-]+)[ \t]*(?:=|:[ \t])[ \t]*('(?:\\'|[^'])*'|"(?:\\"|[^"])*"|`(?:\\`|[^`])*`|[^#\r\n]*)[ \t]*(?:#.*)?$/gm;

  const parse = (source) => {
    const found = {};
    for (const [, key, raw] of String(source).replace(/^\ufeff/, '').replace(/\r\n?/g, '\n').matchAll(ENTRY)) {
      const trimmed = raw.trim();
      const quoted = /^(['"`])([\s\S]*)\1$/.exec(trimmed);
      let value = quoted ? quoted[2] : trimmed;
      if (quoted?.[1] === '"') value = value.replace(/\\n/g, '\n').replace(/\\r/g, '\r');
      found[key] = value;
    }
    return found;
  };

  const populate = (target, parsed, options = {}) => {
    for (const key of Object.keys(parsed)) {
      secrets.add(parsed[key]);
      if (options.override || !Object.prototype.hasOwnProperty.call(target, key)) target[key] = parsed[key];
    }
    return parsed;
  };

  const config = (options = {}) => {
    const home = (file) => (typeof file === 'string' && file.startsWith('~') ? path.join(os().homedir(), file.slice(1)) : file);
    const chosen = options.path ?? path.resolve(process.cwd(), '.env');
    const parsed = {};
    let error;
    for (const file of Array.isArray(chosen) ? chosen : [chosen]) {
      try {
        populate(parsed, parse(fs().readFileSync(home(file), { encoding: options.encoding ?? 'utf8' })), options);
      } catch (problem) {
        error = problem;
      }
    }
    populate(options.processEnv ?? process.env, parsed, options);
    return error ? { parsed, error } : { parsed };
  };

  const module = { config, parse, populate, configDotenv: config };
  module.default = module;
  module.fromEnvironment = () => {
    const { DOTENV_CONFIG_PATH: file, DOTENV_CONFIG_OVERRIDE: override, DOTENV_CONFIG_ENCODING: encoding } = process.env;
    config({ ...(file && { path: file }), ...(override && { override: override === 'true' }), ...(encoding && { encoding }) });
    return {};
  };
  return module;
})();
