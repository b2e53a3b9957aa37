// All five services; each folder has a config of its own that runs the service alone.
const services = ['auth', 'backend', 'ai', 'data', 'gateway'];

module.exports = {
  apps: services.flatMap((service) => require(`./${service}/ecosystem.config.js`).apps),
};
