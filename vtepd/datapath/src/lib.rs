//! The packet path: stages over a burst, the worker loop, drop reasons and counters.
