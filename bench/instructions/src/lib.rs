//! The benchmarks are in `benches`, the recorded counts in `recorded.txt`, and the script `run` compares them.
