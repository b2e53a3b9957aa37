const path = require('path');

const logs = process.env.LOG_DIR || 'logs';

module.exports = {
  apps: [
    {
      name: 'gateway',
      script: path.join(__dirname, 'gateway.js'),
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
      out_file: `${logs}/gateway-out.log`,
      error_file: `${logs}/gateway-err.log`,
      log_file: `${logs}/gateway.log`,
      memory_soft_limit: process.env.SOFT_LIMIT || '400M',
      env: {
        NODE_ENV: 'development',
        GATEWAY_PORT: process.env.GATEWAY_PORT || 3000,
        AUTH_PORT: process.env.AUTH_PORT || 3001,
        BACKEND_PORT: process.env.BACKEND_PORT || 3002,
        AI_PORT: process.env.AI_PORT || 3003,
        DATA_PORT: process.env.DATA_PORT || 3004,
      },
      env_production: { NODE_ENV: 'production' },
    },
  ],
};
