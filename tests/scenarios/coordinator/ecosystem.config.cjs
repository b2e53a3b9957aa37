// High-availability coordinator, one per CPU.
const path = require('path');

module.exports = {
  apps: [
    {
      name: 'queen',
      script: path.join(__dirname, 'queen.cjs'),
      cwd: __dirname,

      // Cluster
      instances: 'max',
      exec_mode: 'cluster',

      // Memory
      max_memory_restart: '2G',

      // Start and stop
      wait_ready: true,
      listen_timeout: 10000,
      kill_timeout: 5000,

      // Restart
      autorestart: true,
      max_restarts: 10,
      min_uptime: '60s',
      exp_backoff_restart_delay: 100,

      // Logs
      log_type: 'json',
      log_date_format: 'YYYY-MM-DDTHH:mm:ss.SSSZ',
      merge_logs: true,

      env: {
        NODE_ENV: 'development',
        PORT: process.env.PORT || 8080,
        LOG_LEVEL: 'debug',
        LOG_FORMAT: 'text',
      },
      env_production: {
        NODE_ENV: 'production',
        PORT: process.env.PORT || 8080,
        LOG_LEVEL: 'info',
        LOG_FORMAT: 'json',
        CLUSTER_MODE: 'true',
        PM_FAILOVER_ENABLED: 'true',
        NODE_OPTIONS: '--max-old-space-size=2048',
      },
    },
  ],
};
