//! Forwarding tables with one writer and wait-free readers.
