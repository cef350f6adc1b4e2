//! The order of flows in a file.

use std::collections::{HashMap, VecDeque};
use std::io;

use super::Random;
use super::workload::INNER;

/// The least number of frames in a file: few different ones would let a device's
/// copy of them stay in the nearest cache.
pub const LEAST_FRAMES: u32 = 8192;
/// Where a frame has the number of its flow: the first bytes after the headers, and so many
/// from its end.
const FROM_END: usize = INNER - 14 - 20 - 8;

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

/// Frames by the flows that an order names: those that went different ways, or of a burst of
/// Open vSwitch, which sends them flow by flow, come out in another.
///
/// # Errors
/// One is missing; there are too many.
pub fn in_order(
    frames: impl Iterator<Item = io::Result<Vec<u8>>>,
    order: &[u32],
) -> Result<Vec<Vec<u8>>, String> {
    let mut by_flow: HashMap<u32, VecDeque<Vec<u8>>> = HashMap::new();
    for (position, frame) in frames.enumerate() {
        let frame = frame.map_err(|error| error.to_string())?;
        let number = number(&frame).ok_or_else(|| format!("frame {position} has no number"))?;
        by_flow.entry(number).or_default().push_back(frame);
    }
    let mut sorted = Vec::with_capacity(order.len());
    for flow in order {
        let frame = by_flow.get_mut(flow).and_then(VecDeque::pop_front);
        sorted.push(frame.ok_or_else(|| format!("a frame of flow {flow} is missing"))?);
    }
    match by_flow.iter().find(|(_, frames)| !frames.is_empty()) {
        None => Ok(sorted),
        Some((flow, frames)) => Err(format!("flow {flow} has {} frames too many", frames.len())),
    }
}

/// The number of a frame's flow.
fn number(frame: &[u8]) -> Option<u32> {
    let payload = frame.get(frame.len().checked_sub(FROM_END)?..)?;
    Some(u32::from_be_bytes(*payload.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::super::{Direction, Fabric, Flows, Workload};
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

    #[test]
    fn frames_come_into_order_and_none_is_lost_or_doubled() {
        let workload = Workload {
            fabric: Fabric::SMALL,
            direction: Direction::Decap,
            macs: 1000,
            seed: 7,
            learning: false,
        };
        let flows: &dyn Flows = &workload;
        let order = flows.order();
        let out = || {
            let mut mixed = order.clone();
            mixed.sort_unstable();
            mixed.into_iter().map(|flow| Ok(flows.expected(flow)))
        };
        let sorted = in_order(out(), &order).unwrap();
        let mut sorted = sorted.into_iter().map(Ok);
        assert_eq!(flows.check(&mut sorted), Ok(order.len() as u64));
        assert!(
            in_order(out().skip(1), &order)
                .unwrap_err()
                .contains("missing")
        );
        let more = out().chain(out().take(1));
        assert!(in_order(more, &order).unwrap_err().contains("too many"));
        let short = out().chain([Ok(vec![0; 8])]);
        assert!(in_order(short, &order).unwrap_err().contains("no number"));
    }
}
