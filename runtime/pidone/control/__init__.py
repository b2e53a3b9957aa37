"""How is it operated? HTTP API on a unix socket, probes, metrics, the dashboard."""
