"""What the last hour was like: CPU and memory of every instance, the container, and what happened."""
