const path = require('path');

const logs = process.env.LOG_DIR || 'logs';

module.exports = {
  apps: [
    {
      name: 'auth',
      script: path.join(__dirname, 'auth.js'),
      cwd: __dirname,
      instances: 2,
      exec_mode: 'cluster',
      node_args: ['--expose-gc', '--max-old-space-size=512'],
      max_memory_restart: '512M',
      listen_timeout: 10000,
      kill_timeout: 5000,
      max_restarts: 10,
      min_uptime: '5s',
      merge_logs: true,
      out_file: `${logs}/auth-out.log`,
      error_file: `${logs}/auth-err.log`,
      log_file: `${logs}/auth.log`,
      memory_soft_limit: process.env.SOFT_LIMIT || '400M',
      env: {
        NODE_ENV: 'development',
        AUTH_PORT: process.env.AUTH_PORT || 3001,
        AUTH_KEY: process.env.AUTH_KEY || 'only for development',
      },
      env_production: { NODE_ENV: 'production' },
    },
  ],
};
