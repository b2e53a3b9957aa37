const path = require('path');

const logs = process.env.LOG_DIR || 'logs';

module.exports = {
  apps: [
    {
      name: 'data-sources',
      script: path.join(__dirname, 'data.py'),
      cwd: __dirname,
      instances: 2,
      exec_mode: 'fork',
      interpreter: 'python3',
      max_memory_restart: '512M',
      listen_timeout: 10000,
      kill_timeout: 5000,
      max_restarts: 10,
      min_uptime: '5s',
      merge_logs: true,
      out_file: `${logs}/data-sources-out.log`,
      error_file: `${logs}/data-sources-err.log`,
      log_file: `${logs}/data-sources.log`,
      memory_soft_limit: process.env.SOFT_LIMIT || '400M',
      memory_soft_action: 'SIGUSR2',
      env: {
        NODE_ENV: 'development',
        DATA_PORT: process.env.DATA_PORT || 3004,
      },
      env_production: { NODE_ENV: 'production' },
    },
  ],
};
