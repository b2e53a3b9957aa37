const common = {
  cwd: __dirname,
  exec_mode: 'fork',
  instances: 1,
  autorestart: true,
  max_memory_restart: '500M',
  kill_timeout: 5000,
  listen_timeout: 15000,
  interpreter_args: '--max-old-space-size=1024',
  env: { NODE_ENV: 'development', REDIS_URL: process.env.REDIS_URL || 'redis://127.0.0.1:6379' },
  env_production: { NODE_ENV: 'production' },
};

module.exports = {
  apps: [
    {
      ...common,
      name: 'api',
      script: 'api.js',
      exec_mode: 'cluster',
      instances: 'max',
      env: { ...common.env, PORT: process.env.PORT || 5000 },
    },
    { ...common, name: 'aggregator', script: 'aggregator.js' },
    { ...common, name: 'worker', script: 'worker.js' },
  ],
};
