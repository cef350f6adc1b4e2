//! Queues between workers: one for each ordered pair, from one thread to one other.
//!
//! ```text
//!   worker 0 ─ hand_over ─► waiting ─ a burst at a time ─► queue ─ take ─► worker 1
//! ```
//!
//! A packet costs 3 ns on its way when it goes with others, and 21 ns by a queue that several may write to.

use arrayvec::ArrayVec;
use rtrb::{Consumer, Producer, RingBuffer};
use vtepd_datapath::packet::BURST;

/// The way to one other worker.
struct Lane<T> {
    queue: Producer<T>,
    waiting: ArrayVec<T, BURST>,
    /// How many the queue had room for when the first of them came.
    room: usize,
}

impl<T> Lane<T> {
    fn new(queue: Producer<T>) -> Self {
        Self {
            queue,
            waiting: ArrayVec::new(),
            room: 0,
        }
    }

    fn push(&mut self, item: T) -> Result<(), T> {
        if self.waiting.is_full() {
            self.send();
        }
        if self.waiting.is_empty() {
            // The other worker writes this line: it is looked at once a burst.
            self.room = self.queue.slots();
        }
        if self.waiting.len() >= self.room {
            return Err(item);
        }
        self.waiting.push(item);
        Ok(())
    }

    /// There is as much room as was seen, or more.
    fn send(&mut self) {
        if let Ok(chunk) = self.queue.write_chunk_uninit(self.waiting.len()) {
            chunk.fill_from_iter(self.waiting.drain(..));
        }
    }
}

/// All of one worker's, in both directions.
pub struct Crossings<T> {
    /// By worker; none to ourselves.
    to: Vec<Option<Lane<T>>>,
    from: Vec<Consumer<T>>,
    /// Who is asked first in this turn, so that nobody waits for the others to fall silent.
    first: usize,
}

impl<T> Crossings<T> {
    /// Of `workers`, by worker; as many as `room` can be on their way from each to each other.
    pub fn among(workers: usize, room: usize) -> Vec<Self> {
        let none = |_| Self {
            to: Vec::new(),
            from: Vec::new(),
            first: 0,
        };
        let mut all: Vec<Self> = (0..workers).map(none).collect();
        for from in 0..workers {
            for to in 0..workers {
                let lane = (from != to).then(|| {
                    let (queue, end) = RingBuffer::new(room);
                    all[to].from.push(end);
                    Lane::new(queue)
                });
                all[from].to.push(lane);
            }
        }
        all
    }

    /// Gives something to a worker, at the latest by the next [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// Gives it back: the queue is full, or there is no such other worker.
    #[inline]
    pub fn hand_over(&mut self, worker: usize, item: T) -> Result<(), T> {
        match self.to.get_mut(worker) {
            Some(Some(lane)) => lane.push(item),
            _ => Err(item),
        }
    }

    /// The next that another worker has given to this one.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        let (later, sooner) = self.from.split_at_mut_checked(self.first)?;
        let mut queues = sooner.iter_mut().chain(later);
        queues.find_map(|queue| queue.pop().ok())
    }

    /// Sends what waits, at the end of a turn.
    #[inline]
    pub fn flush(&mut self) {
        for lane in self.to.iter_mut().flatten() {
            if !lane.waiting.is_empty() {
                lane.send();
            }
        }
        let others = self.from.len().max(1);
        self.first = (self.first + 1) % others;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn taken<T>(worker: &mut Crossings<T>) -> Vec<T> {
        std::iter::from_fn(|| worker.take()).collect()
    }

    #[test]
    fn what_does_not_fit_comes_back() {
        let mut all = Crossings::among(2, 100);
        for number in 0..100 {
            assert_eq!(all[0].hand_over(1, number), Ok(()));
        }
        assert_eq!(all[0].hand_over(1, 100), Err(100));
        assert_eq!(all[0].hand_over(0, 0), Err(0), "that is ourselves");
        assert_eq!(all[0].hand_over(2, 0), Err(0), "nobody");
        all[0].flush();
        assert_eq!(all[0].hand_over(1, 100), Err(100));
        assert_eq!(taken(&mut all[1]), (0..100).collect::<Vec<_>>());
        assert_eq!(all[0].hand_over(1, 100), Ok(()));
    }

    #[test]
    fn nobody_is_kept_waiting_by_another() {
        let mut all = Crossings::among(3, 100);
        for _ in 0..10 {
            all[0].hand_over(2, 0).unwrap();
        }
        all[1].hand_over(2, 1).unwrap();
        all[0].flush();
        all[1].flush();
        let first: Vec<_> = (0..2)
            .filter_map(|_| {
                let first = all[2].take();
                all[2].flush();
                first
            })
            .collect();
        assert_eq!(first, [0, 1]);
    }

    /// Whatever is on its way when both ends are gone is freed.
    #[test]
    fn the_end_frees_what_is_under_way() {
        let packet = Arc::new(());
        let mut all = Crossings::among(2, 1000);
        for _ in 0..BURST + 10 {
            all[0].hand_over(1, Arc::clone(&packet)).unwrap();
        }
        assert_eq!(Arc::strong_count(&packet), 1 + BURST + 10);
        let other = all.pop();
        drop(all);
        drop(other);
        assert_eq!(Arc::strong_count(&packet), 1);
    }

    #[test]
    fn threads_get_all_in_order() {
        const EACH: u64 = 100_000;
        let mut workers = Crossings::<u64>::among(2, 256);
        std::thread::scope(|scope| {
            for (number, mut worker) in workers.drain(..).enumerate() {
                scope.spawn(move || {
                    let (mut next, mut expected) = (0, 0);
                    while next < EACH || expected < EACH {
                        for _ in 0..50 {
                            if next < EACH && worker.hand_over(1 - number, next).is_ok() {
                                next += 1;
                            }
                        }
                        worker.flush();
                        while let Some(got) = worker.take() {
                            assert_eq!(got, expected);
                            expected += 1;
                        }
                        std::thread::yield_now();
                    }
                });
            }
        });
    }

    #[derive(Clone, Debug)]
    enum Step {
        HandOver {
            from: usize,
            to: usize,
            count: usize,
        },
        Flush(usize),
        Take {
            worker: usize,
            count: usize,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3usize, 0..3usize, 1..100usize).prop_map(|(from, to, count)| Step::HandOver {
                from,
                to,
                count
            }),
            (0..3usize).prop_map(Step::Flush),
            (0..3usize, 1..100usize).prop_map(|(worker, count)| Step::Take { worker, count }),
        ]
    }

    proptest! {
        /// Against plain queues: nothing is lost, doubled or out of order, and no more is under way than there is room for.
        #[test]
        fn they_are_queues(steps in prop::collection::vec(step(), 1..60), room in 1..150usize) {
            let mut all = Crossings::among(3, room);
            let mut model = vec![vec![VecDeque::new(); 3]; 3];
            let mut number = 0;
            for step in steps {
                match step {
                    Step::HandOver { from, to, count } => {
                        for _ in 0..count {
                            number += 1;
                            match all[from].hand_over(to, (from, number)) {
                                Ok(()) => model[from][to].push_back(number),
                                // Part of a burst may be refused though there is room since: never the first of it.
                                Err(_) => prop_assert!(from == to || !model[from][to].is_empty() || room == 0),
                            }
                            prop_assert!(model[from][to].len() <= room);
                        }
                    }
                    Step::Flush(worker) => all[worker].flush(),
                    Step::Take { worker, count } => {
                        for _ in 0..count {
                            let Some((from, number)) = all[worker].take() else {
                                break;
                            };
                            prop_assert_eq!(model[from][worker].pop_front(), Some(number));
                        }
                    }
                }
            }
            all.iter_mut().for_each(Crossings::flush);
            for (to, worker) in all.iter_mut().enumerate() {
                while let Some((from, number)) = worker.take() {
                    prop_assert_eq!(model[from][to].pop_front(), Some(number));
                }
            }
            prop_assert!(model.iter().flatten().all(VecDeque::is_empty));
        }
    }
}
