"""PM2's own protocol, so that the stock npm client (`require("pm2")`, `pm2 list`) operates this runtime."""
