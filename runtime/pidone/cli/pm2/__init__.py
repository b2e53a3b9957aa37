"""What PM2's people type: `pm2-runtime FILE` and `pm2 COMMAND`."""
