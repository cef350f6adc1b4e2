//! Several workers that take turns, packet by packet: what became of one is known before the
//! next is sent.

use vtepd_nat::{Capacity, Settings, Slices, Translator};
use vtepd_tables::View;
use vtepd_tables::translation::Description;
use vtepd_wire::hash::KeyedHash;

use super::*;

struct One {
    io: MemoryIo,
    state: WorkerState,
    pipeline: Pipeline<MemoryPacket>,
    counters: Arc<WorkerCounters>,
}

/// The workers, and the host whose tables they share. Its own worker rests.
pub struct Several {
    pub host: Host,
    reader: TablesReader,
    all: Vec<One>,
}

/// What became of a packet, wherever.
#[derive(Debug)]
pub struct Crossed {
    pub sent: Vec<(InterfaceIndex, Vec<u8>)>,
    pub drops: Vec<DropReason>,
    /// How often it went to another worker.
    pub handed_over: u64,
}

impl Crossed {
    #[track_caller]
    pub fn one(&self) -> (InterfaceIndex, &[u8]) {
        assert_eq!(self.sent.len(), 1, "{self:?}");
        (self.sent[0].0, &self.sent[0].1)
    }
}

/// Drops by reason, and packets handed over.
type Counts = (Vec<u64>, u64);

impl Several {
    /// So many, with a router's pools open on each.
    pub fn new(
        host: Host,
        count: u16,
        (router, description): (u16, &Description),
        settings: Settings,
    ) -> Self {
        let ios = MemoryIo::of_workers(usize::from(count), 64);
        let one = |(number, io): (u16, MemoryIo)| {
            let slices = Slices::new(number, count, KeyedHash::new(7, 8)).unwrap();
            let capacity = Capacity {
                sessions: 4096,
                ..Capacity::default()
            };
            let hash = KeyedHash::new(9, 10);
            let mut translator = Translator::new(capacity, settings, slices, hash, 0);
            open_pools(&mut translator, router, description);
            let counters = WorkerCounters::new();
            let channel = Arc::new(Channel::new(1024, 64));
            let kept = translator.most_held();
            let state = WorkerState::new(FlowHasher::new(1, 2), Arc::clone(&counters), channel);
            One {
                io,
                state: state.with_translator(translator),
                pipeline: Pipeline::new(kept),
                counters,
            }
        };
        let all = (0..count).zip(ios).map(one).collect();
        let mut reader = host.tables.tables().reader().unwrap();
        reader.offline();
        Self { host, reader, all }
    }

    /// One worker receives a frame; all of them go on until nothing is left on its way.
    pub fn send(&mut self, worker: usize, interface: InterfaceIndex, frame: &[u8]) -> Crossed {
        let mut burst = Burst::new();
        burst.push(MemoryPacket::new(frame));
        self.round(1, |number, one, tables, recorder| {
            if number == worker {
                let (state, io) = (&mut one.state, &mut one.io);
                one.pipeline
                    .process(tables, state, io, interface, &mut burst, recorder);
            }
        })
    }

    /// Lets time pass on all of them.
    pub fn age(&mut self, seconds: u32) -> Crossed {
        self.round(0, |_, one, tables, recorder| {
            let (state, io) = (&mut one.state, &mut one.io);
            state.set_time(seconds);
            one.pipeline.age(tables, state, io, recorder, u32::MAX);
        })
    }

    /// Has all of them look at the packets that wait for a neighbour.
    pub fn resume(&mut self) -> Crossed {
        self.round(0, |_, one, tables, recorder| {
            let (state, io) = (&mut one.state, &mut one.io);
            one.pipeline.resume(tables, state, io, recorder);
        })
    }

    /// What all of them do, and what comes of it. Of the packets `received` none is lost nor counted twice.
    #[track_caller]
    fn round(
        &mut self,
        received: u64,
        mut what: impl FnMut(usize, &mut One, &View<'_>, &mut Recorder),
    ) -> Crossed {
        self.host.tables.publish();
        let (before, at_hand) = (self.counts(), self.at_hand());
        self.reader.online();
        let tables = self.reader.view();
        let mut recorder = Recorder::default();
        for (number, one) in self.all.iter_mut().enumerate() {
            what(number, one, &tables, &mut recorder);
        }
        let mut take = |one: &mut One| {
            let (state, io) = (&mut one.state, &mut one.io);
            one.pipeline.take_over(&tables, state, io, &mut recorder)
        };
        while self.all.iter_mut().map(&mut take).sum::<usize>() > 0 {}
        self.reader.offline();
        let crossed = self.crossed(&before);
        let left = (crossed.sent.len() + crossed.drops.len()) as u64;
        assert_eq!(
            self.at_hand().wrapping_sub(at_hand),
            received.wrapping_sub(left),
            "{crossed:?}"
        );
        crossed
    }

    /// Packets that wait, and those consumed; less those that were made here.
    fn at_hand(&self) -> u64 {
        let at_hand = self.all.iter().map(|one| {
            let (pipeline, counters) = (&one.pipeline, &one.counters);
            let waiting = (pipeline.held().len() + pipeline.kept().len()) as u64;
            let made = counters.originated.get() + counters.replicas.get();
            (waiting + counters.consumed.get()).wrapping_sub(made)
        });
        at_hand.fold(0, u64::wrapping_add)
    }

    fn crossed(&mut self, before: &[Counts]) -> Crossed {
        let after = self.counts();
        let handed = |all: &[Counts]| all.iter().map(|(_, handed)| handed).sum::<u64>();
        let of = |all: &[Counts], at: usize| all.iter().map(|(drops, _)| drops[at]).sum::<u64>();
        let drops = DropReason::ALL.iter().enumerate();
        let drops = drops
            .flat_map(|(at, reason)| vec![*reason; (of(&after, at) - of(before, at)) as usize]);
        let sent = self
            .all
            .iter_mut()
            .flat_map(|one| std::mem::take(&mut one.io.sent));
        Crossed {
            sent: sent.map(|(to, packet)| (to, packet.frame())).collect(),
            drops: drops.collect(),
            handed_over: handed(&after) - handed(before),
        }
    }

    fn counts(&self) -> Vec<Counts> {
        let all = self.all.iter().map(|one| {
            let drops = DropReason::ALL.iter();
            let drops = drops.map(|&reason| one.counters.drops(reason));
            (drops.collect(), one.counters.handed_over.get())
        });
        all.collect()
    }

    /// Packets of all that wait for a word of the translator.
    pub fn waiting(&self) -> usize {
        self.all.iter().map(|one| one.pipeline.kept().len()).sum()
    }

    /// Packets of all that wait for a neighbour.
    pub fn held(&self) -> usize {
        self.all.iter().map(|one| one.pipeline.held().len()).sum()
    }

    /// Do the tables of each translator agree?
    pub fn audit(&self) -> Result<(), String> {
        let mut all = self.all.iter();
        all.try_for_each(|one| one.state.translator.audit())
    }
}
