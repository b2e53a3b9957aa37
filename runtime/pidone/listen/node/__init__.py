"""Node's IPC channel and cluster protocol, the primary's side."""
