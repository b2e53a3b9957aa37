module.exports = {
  apps: [{
    name: 'leaky',
    script: './service.js',
    cwd: __dirname,
    instances: 1,
    exec_mode: 'fork',
    autorestart: true,
    max_memory_restart: '150M',
    node_args: '--max-old-space-size=200',
    max_restarts: 1000,
    min_uptime: '10s',
    restart_delay: 500,
    kill_timeout: 5000,
    time: true,
    env: { NODE_ENV: 'production', PORT: process.env.PORT || 3000, LEAK_KB: process.env.LEAK_KB || 64 },
  }],
};
