//! Which worker polls which queue, and who sends for whom.

use anyhow::{Context, Result};
use dpdk_ffi::{Eal, Pool, RingConsumer, ring};
use vtepd_tables::InterfaceIndex;
use vtepd_wire::flow::FlowHasher;

use crate::config::Steering;
use crate::crossings::Crossings;
use crate::device::Device;
use crate::io::{Lane, Sink, Source, WorkerIo};

/// Frames that a ring between workers holds, a power of two: some milliseconds of a
/// worker that has lost its core to somebody else.
const RING: u32 = 4096;
/// Packets of others' translations that may wait for a worker, from all others together; from each
/// at least two bursts.
const CROSSING: usize = 4096;
const CROSSING_LEAST: usize = 128;

/// Deals the queues of all devices out. Ports must have been started.
pub fn deal_out(
    eal: &Eal,
    devices: &[Device],
    workers: usize,
    pool: &Pool,
    steering: Steering,
    flows: FlowHasher,
) -> Result<Vec<WorkerIo>> {
    let mut sources: Vec<Vec<(InterfaceIndex, Source)>> =
        (0..workers).map(|_| Vec::new()).collect();
    let mut sinks: Vec<Vec<Sink>> = (0..workers).map(|_| Vec::new()).collect();
    for (index, device) in devices.iter().enumerate() {
        let interface = InterfaceIndex(index as u8);
        let dealer = Dealer {
            eal,
            device,
            workers,
            owner: index % workers,
        };
        let deal = || -> Result<()> {
            for (worker, source) in dealer.sources(steering)? {
                sources[worker].push((interface, source));
            }
            for (sinks, sink) in sinks.iter_mut().zip(dealer.sinks()?) {
                sinks.push(sink);
            }
            Ok(())
        };
        let mut deal = deal;
        deal().with_context(|| format!("cannot set up the queues of device {:?}", device.name))?;
    }
    let room = (CROSSING / workers).max(CROSSING_LEAST);
    let crossings = Crossings::among(workers, room);
    let ends = sources.into_iter().zip(sinks).zip(crossings);
    Ok(ends
        .map(|((sources, sinks), crossings)| {
            WorkerIo::new(sources, sinks, pool.clone(), flows, crossings)
        })
        .collect())
}

/// Deals out one device.
struct Dealer<'a> {
    eal: &'a Eal,
    device: &'a Device,
    workers: usize,
    /// The worker that polls it when there are too few queues.
    owner: usize,
}

impl Dealer<'_> {
    fn sources(&self, steering: Steering) -> Result<Vec<(usize, Source)>> {
        let port = &self.device.port;
        let queues = usize::from(port.info().rx_queues);
        if queues >= self.workers || steering == Steering::Off {
            let queue = |queue| {
                let worker = (self.owner + queue) % self.workers;
                Ok((worker, Source::Queue(port.take_rx_queue(queue as u16)?)))
            };
            return (0..queues).map(queue).collect();
        }
        let mut dealt = Vec::new();
        for queue in 0..queues {
            let owner = (self.owner + queue) % self.workers;
            let mut lanes = Vec::new();
            for worker in 0..self.workers {
                if worker == owner {
                    lanes.push(None);
                    continue;
                }
                let name = format!("steer-{}-{queue}-{worker}", port.id().get());
                let (producer, consumer) = ring(self.eal, &name, RING)?;
                lanes.push(Some(Lane::new(producer)));
                dealt.push((worker, Source::Ring(consumer)));
            }
            dealt.push((
                owner,
                Source::Steered(port.take_rx_queue(queue as u16)?, lanes),
            ));
        }
        Ok(dealt)
    }

    /// By worker.
    fn sinks(&self) -> Result<Vec<Sink>> {
        let port = &self.device.port;
        let queues = usize::from(port.info().tx_queues).min(self.workers);
        if queues == 0 {
            return Ok((0..self.workers).map(|_| Sink::Nowhere).collect());
        }
        // Workers from `owner` on have a queue; the rest hand over to one of them.
        let mut for_others: Vec<Vec<RingConsumer>> = (0..queues).map(|_| Vec::new()).collect();
        let mut sinks: Vec<Option<Sink>> = (0..self.workers).map(|_| None).collect();
        for position in queues..self.workers {
            let worker = (self.owner + position) % self.workers;
            let name = format!("send-{}-{worker}", port.id().get());
            let (producer, consumer) = ring(self.eal, &name, RING)?;
            sinks[worker] = Some(Sink::Ring(producer));
            for_others[position % queues].push(consumer);
        }
        for (queue, consumers) in for_others.into_iter().enumerate() {
            let worker = (self.owner + queue) % self.workers;
            sinks[worker] = Some(Sink::Queue(port.take_tx_queue(queue as u16)?, consumers));
        }
        Ok(sinks
            .into_iter()
            .map(|sink| sink.unwrap_or(Sink::Nowhere))
            .collect())
    }
}
