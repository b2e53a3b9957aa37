"""How is it kept up? Supervisor > App (a cluster) > Instance (one process)."""
