//! Benchmarks of vtepd and of what it is compared to.
