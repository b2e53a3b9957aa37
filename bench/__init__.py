"""Side-by-side benchmarks against the peers; every figure is a ratio measured in one run."""
