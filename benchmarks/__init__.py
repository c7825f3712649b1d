"""The benchmarks beside their peers, a module each: `python -m benchmarks.kmeans`."""
