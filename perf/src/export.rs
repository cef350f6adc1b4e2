//! `frames`: the flows of a workload as files, for traffic generators and boxes elsewhere.
//!
//! ```text
//!   FOLDER/frames.pcap          what goes in, in order
//!   FOLDER/introductions.pcap   what VTEPs say of themselves on the underlay: ARP replies
//!   FOLDER/state.jsonl          the transactions that make the stations known, one a line
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum, value_parser};
use vtepd_perf::frames::dvr::Routed;
use vtepd_perf::frames::fabric::{ACCESS, UPLINK, UPLINK_MAC};
use vtepd_perf::frames::flood::{Flood, MOST_VTEPS};
use vtepd_perf::frames::mix::Mix;
use vtepd_perf::frames::nat::{Cloud, MOST_FLOATING, MOST_KEPT, Translation};
use vtepd_perf::frames::state::Side;
use vtepd_perf::frames::workload::introductions;
use vtepd_perf::frames::{Direction, Fabric, Flows, Workload, nat_state, pcap};
use vtepd_wire::Mac;

use crate::options::{self, Inside};

/// Stations of one transaction.
const BATCH: u32 = 10_000;

/// What is written.
#[derive(Args)]
pub struct Frames {
    /// Of which workload.
    workload: Name,
    /// Where to; it is made if need be.
    folder: PathBuf,
    /// Flows; k and M are understood.
    #[arg(long, default_value = "1k", value_parser = options::sessions)]
    flows: u32,
    /// Routers of routed.
    #[arg(long, default_value = "1", value_parser = options::routed_routers)]
    routers: u32,
    /// VTEPs of flood.
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u32).range(1..=i64::from(MOST_VTEPS)))]
    vteps: u32,
    /// Where the stations of snat, fip and new-sessions are.
    #[arg(long, default_value = "vxlan")]
    inside: Inside,
    /// Which way of snat, fip and mix. Answers of snat go to the ports that a router with one address
    /// and one worker keeps.
    #[arg(long, default_value = "out")]
    way: Way,
    /// Whether decap and encap learn sources.
    #[arg(long)]
    learning: bool,
    /// Of the frames' order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The MAC of the underlay's device: a NIC's, not that of a pcap device.
    #[arg(long, default_value_t = UPLINK_MAC)]
    uplink_mac: Mac,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Decap,
    Encap,
    Routed,
    DvrIn,
    Flood,
    Mix,
    Snat,
    Fip,
    NewSessions,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    Out,
    Return,
}

/// A workload's frames in order, its transactions, and where the frames go in.
struct Traffic<'a> {
    frames: Box<dyn Iterator<Item = Vec<u8>> + 'a>,
    transactions: Box<dyn Iterator<Item = String> + 'a>,
    device: &'static str,
    fabric: Fabric,
}

/// Writes the files.
pub fn run(args: &Frames) -> Result<()> {
    match args.workload {
        Name::Decap => args.write_flows(&args.bridged(Direction::Decap)),
        Name::Encap => args.write_flows(&args.bridged(Direction::Encap)),
        Name::Routed => args.write_flows(&args.routed(Direction::Encap)),
        Name::DvrIn => args.write_flows(&args.routed(Direction::Decap)),
        Name::Flood => args.write_flows(&Flood {
            vteps: args.vteps,
            seed: args.seed,
        }),
        Name::Mix => args.write_mix(),
        Name::Snat => args.write_cloud(Translation::Snat),
        Name::Fip => args.write_cloud(Translation::FloatingIp),
        Name::NewSessions => args.write_cloud(Translation::SnatOfMany),
    }
}

impl Frames {
    fn bridged(&self, direction: Direction) -> Workload {
        Workload {
            fabric: Fabric::SMALL,
            direction,
            macs: self.flows,
            seed: self.seed,
            learning: self.learning,
        }
    }

    fn routed(&self, direction: Direction) -> Routed {
        Routed {
            direction,
            routers: self.routers,
            stations: self.flows,
            seed: self.seed,
        }
    }

    fn write_flows(&self, flows: &dyn Flows) -> Result<()> {
        self.write(Traffic {
            frames: flows.sent(),
            transactions: flows.transactions(),
            device: match flows.direction() {
                Direction::Decap => UPLINK,
                Direction::Encap => ACCESS,
            },
            fabric: flows.fabric(),
        })
    }

    fn write_mix(&self) -> Result<()> {
        let mix = Mix { seed: self.seed };
        let (direction, device) = match self.way {
            Way::Out => (Direction::Encap, ACCESS),
            Way::Return => (Direction::Decap, UPLINK),
        };
        let packets = mix.packets(direction).into_iter();
        self.write(Traffic {
            frames: Box::new(packets.map(|packet| mix.sent(direction, packet))),
            transactions: Box::new(mix.transactions().into_iter()),
            device,
            fabric: mix.fabric(),
        })
    }

    fn write_cloud(&self, translation: Translation) -> Result<()> {
        let is_floating = translation == Translation::FloatingIp;
        if is_floating && self.flows > MOST_FLOATING {
            bail!("there are {MOST_FLOATING} floating IPs at most");
        }
        if self.way == Way::Return && translation == Translation::SnatOfMany {
            bail!("nobody answers new sessions: their ports are the daemon's choice");
        }
        let cloud = Cloud {
            translation,
            inside: match self.inside {
                Inside::Vxlan => Side::Remote,
                Inside::Vlan => Side::Local,
            },
            flows: self.flows,
            seed: self.seed,
            most_kept: MOST_KEPT,
        };
        let frame = |flow| match self.way {
            Way::Out => cloud.sent(flow),
            Way::Return => cloud.answer(flow, cloud.kept_outside(flow)),
        };
        let stations = (0..cloud.stations()).step_by(BATCH as usize);
        let stations = stations.flat_map(|first| {
            let some = first..(first + BATCH).min(cloud.stations());
            let floating = is_floating.then(|| nat_state::floating_ips(&cloud, some.clone()));
            std::iter::once(nat_state::stations(&cloud, some)).chain(floating)
        });
        let first = nat_state::infrastructure(&cloud).to_string();
        self.write(Traffic {
            frames: Box::new(cloud.order().into_iter().map(frame)),
            transactions: Box::new(std::iter::once(first).chain(stations)),
            device: match (self.inside, self.way) {
                (Inside::Vxlan, Way::Out) | (Inside::Vlan, Way::Return) => UPLINK,
                _ => ACCESS,
            },
            fabric: cloud.fabric(),
        })
    }

    fn write(&self, traffic: Traffic<'_>) -> Result<()> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let addressed = |mut frame: Vec<u8>| {
            if let Some(to) = frame.first_chunk_mut::<6>()
                && *to == UPLINK_MAC.0
            {
                *to = self.uplink_mac.0;
            }
            frame
        };
        let mut count = 0;
        let counted = traffic.frames.inspect(|_| count += 1).map(addressed);
        pcap::write(self.file("frames.pcap")?, counted)?;
        let introduced = introductions(traffic.fabric).map(addressed);
        pcap::write(self.file("introductions.pcap")?, introduced)?;
        let mut state = self.file("state.jsonl")?;
        for transaction in traffic.transactions {
            writeln!(state, "{transaction}")?;
        }
        state.flush()?;
        let (folder, device) = (self.folder.display(), traffic.device);
        println!("{folder}: {count} frames for {device}");
        Ok(())
    }

    fn file(&self, name: &str) -> Result<BufWriter<File>> {
        create(&self.folder.join(name)).map(BufWriter::new)
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}
