"""Tables and charts of reports, for `bench` and the benchmarks."""
