"""What the control side has to say: states, probes, metrics, logs and events."""
