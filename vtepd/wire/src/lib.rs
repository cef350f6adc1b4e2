//! Header views over byte slices, checksums and flow hashes.
