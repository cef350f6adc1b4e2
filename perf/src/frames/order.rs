//! The order of flows in a file.

use super::Random;

/// The least number of frames in a file: few different ones would let a device's
/// copy of them stay in the nearest cache.
pub const LEAST_FRAMES: u32 = 8192;

/// The flow of each frame: every flow once in random order, then all again in another,
/// until there are enough; never one twice in a row, unless there is but one.
#[must_use]
pub fn order(flows: u32, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed);
    let flows = flows.max(1);
    let rounds = LEAST_FRAMES.div_ceil(flows).max(1);
    let mut order: Vec<u32> = Vec::with_capacity((rounds * flows) as usize);
    for _ in 0..rounds {
        let begin = order.len();
        order.extend(0..flows);
        random.shuffle(&mut order[begin..]);
        if begin > 0 && order[begin] == order[begin - 1] {
            order.swap(begin, begin + flows as usize / 2);
        }
    }
    let last = order.len() - 1;
    if order[0] == order[last] {
        // The file is repeated.
        order.swap(last, last - 1);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flow_comes_twice_in_a_row_and_none_is_forgotten() {
        for flows in [16, 1000, 100_000] {
            let order = order(flows, 7);
            assert!(order.len() >= LEAST_FRAMES as usize);
            assert!(order.windows(2).all(|pair| pair[0] != pair[1]));
            assert_ne!(order.first(), order.last());
            let mut times = vec![0; flows as usize];
            order.iter().for_each(|flow| times[*flow as usize] += 1);
            assert!(times.iter().all(|n| *n == order.len() / flows as usize));
        }
        assert_eq!(order(1, 7), vec![0; LEAST_FRAMES as usize]);
    }
}
