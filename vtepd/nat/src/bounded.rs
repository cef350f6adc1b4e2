//! A bounded queue: when nobody listens, the newest are lost and counted.

use std::collections::VecDeque;

pub(crate) struct Bounded<T> {
    queue: VecDeque<T>,
    limit: usize,
    lost: u64,
}

impl<T> Bounded<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            queue: VecDeque::with_capacity(limit),
            limit,
            lost: 0,
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.queue.len() < self.limit {
            self.queue.push_back(item);
        } else {
            self.lost += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.queue.pop_front()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.queue.capacity() * size_of::<T>()
    }
}
