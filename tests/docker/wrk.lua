-- Counts answers by instance, and prints everything as JSON: wrk has neither.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init()
  instances = {}
end

function response(_, headers)
  local name = headers["x-instance"] or "?"
  instances[name] = (instances[name] or 0) + 1
end

function done(summary, latency)
  local total, shares = {}, {}
  for _, thread in ipairs(threads) do
    for name, count in pairs(thread:get("instances")) do
      total[name] = (total[name] or 0) + count
    end
  end
  for name, count in pairs(total) do
    table.insert(shares, string.format('"%s": %d', name, count))
  end
  local errors = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %.3f, "p50_ms": %.2f, "p95_ms": %.2f, "p99_ms": %.2f, ',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
  io.write(string.format('"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}, ',
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
  io.write('"instances": {' .. table.concat(shares, ", ") .. "}}\n")
end
