const path = require('path');

const logs = process.env.LOG_DIR || 'logs';

module.exports = {
  apps: [
    {
      name: 'backend',
      script: path.join(__dirname, 'backend.js'),
      cwd: __dirname,
      instances: 'max',
      exec_mode: 'cluster',
      node_args: ['--expose-gc', '--max-old-space-size=512'],
      max_memory_restart: '512M',
      listen_timeout: 10000,
      kill_timeout: 5000,
      max_restarts: 10,
      min_uptime: '5s',
      merge_logs: true,
      out_file: `${logs}/backend-out.log`,
      error_file: `${logs}/backend-err.log`,
      log_file: `${logs}/backend.log`,
      memory_soft_limit: process.env.SOFT_LIMIT || '400M',
      env: {
        NODE_ENV: 'development',
        BACKEND_PORT: process.env.BACKEND_PORT || 3002,
      },
      env_production: { NODE_ENV: 'production' },
    },
  ],
};
