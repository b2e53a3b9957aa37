require('dotenv').config();

const base = {
  NODE_ENV: process.env.NODE_ENV || 'development',
  PORT: process.env.PORT || 4000,
  REDIS_URL: process.env.REDIS_URL || 'redis://127.0.0.1:6379',
  HEALTH_GRACE_MS: process.env.HEALTH_GRACE_MS || 3000,
};

const logs = process.env.LOG_DIR || 'logs';

module.exports = {
  apps: [
    {
      name: 'chat',
      script: './server.js',
      cwd: __dirname,
      instances: 2,
      exec_mode: 'cluster',
      max_memory_restart: '1G',
      kill_timeout: 10000,
      listen_timeout: 15000,
      min_uptime: '10s',
      max_restarts: 5,
      restart_delay: 4000,
      out_file: `${logs}/chat-out.log`,
      error_file: `${logs}/chat-err.log`,
      log_file: `${logs}/chat.log`,
      merge_logs: true,
      env: { ...base, DB_POOL_MAX: process.env.DB_POOL_MAX || 10 },
      env_production: { ...base, NODE_ENV: 'production', DB_POOL_MAX: process.env.DB_POOL_MAX || 15 },
    },
  ],
};
