const path = require('path');

module.exports = {
  apps: [
    {
      name: 'ai',
      script: path.join(__dirname, 'ai.py'),
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
      env: {
        NODE_ENV: 'development',
        AI_PORT: process.env.AI_PORT || 3003,
      },
      env_production: { NODE_ENV: 'production' },
    },
  ],
};
