//! vtepd against another program, on the same frames and the same devices.
//!
//! ```text
//!   [`programs`] ─► [`switch`] ─► [`ovs`] ─┐
//!                                          ├─► [`contender`] ─► [`pairs`] ─► [`table`], JSON
//!   vtepd as it is now, or as it was ──────┘
//! ```
//!
//! First both play the frames once, and all that comes out is compared with what must, apart
//! from what each may choose. Then they take turns, a fresh process each time.

mod contender;
mod ovs;
mod pairs;
mod programs;
mod switch;
mod table;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use vtepd_perf::frames::dvr::Routed;
use vtepd_perf::frames::nat::{Cloud, MOST_KEPT, Translation};
use vtepd_perf::frames::state::Side;
use vtepd_perf::frames::{Direction, Fabric, Flows, Label, Workload};
use vtepd_perf::results::comparison::{Comparison, Contest, Pairs};
use vtepd_perf::results::{Measured, Results};

use self::contender::{Contender, OneWay, Translating};
use self::ovs::OpenVSwitch;
use self::pairs::Effort;
use crate::options::{Inside, neighbours, routed_routers, sessions, size};
use crate::system::{cores, interrupt, machine, vtepd};
use crate::workloads::nat::Way;
use crate::workloads::{forward, nat};
use crate::{terminal, write_json};

/// What it is compared to.
#[derive(Subcommand)]
pub enum Opponent {
    /// Open vSwitch with DPDK, as Debian has it.
    Ovs(Box<Options>),
    /// Another build of vtepd.
    Rev(Box<Other>),
}

/// The other build.
#[derive(Args)]
pub struct Other {
    /// Its daemon.
    #[arg(long)]
    program: PathBuf,
    /// What people call it.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    options: Options,
}

/// What is compared.
#[derive(Args)]
pub struct Options {
    /// Which; all of them when none is named.
    workloads: Vec<Name>,
    /// Sizes of decap and encap: destination MACs; k and M are understood.
    #[arg(long, value_delimiter = ',', default_value = "1k,100k", value_parser = size)]
    macs: Vec<u32>,
    /// Sizes of routed: stations that packets are routed to.
    #[arg(long, value_delimiter = ',', default_value = "1k,100k", value_parser = neighbours)]
    neighbours: Vec<u32>,
    /// Routers of routed.
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = routed_routers)]
    routed_routers: Vec<u32>,
    /// Sessions of snat.
    #[arg(long, value_delimiter = ',', default_value = "64k,1M", value_parser = sessions)]
    sessions: Vec<u32>,
    /// Where the stations of snat are: on the access port, or behind VXLAN.
    #[arg(long, value_delimiter = ',', default_value = "vlan,vxlan")]
    inside: Vec<Inside>,
    /// Pairs of runs, all of whose seconds are quiet.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Quiet one-second samples of each run; 0: one, quiet or not.
    #[arg(long, default_value_t = 3)]
    samples: usize,
    /// Leave out the floor.
    #[arg(long)]
    no_io: bool,
    /// Of the frames' order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The daemon; by default the one that was built beside this program.
    #[arg(long)]
    vtepd: Option<PathBuf>,
    /// What people call it.
    #[arg(long, default_value = "vtepd")]
    vtepd_name: String,
    /// Also writes everything to a file, as JSON, after each workload.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// VXLAN to the access port.
    Decap,
    /// The access port to VXLAN.
    Encap,
    /// Through the router to stations of other hosts.
    Routed,
    /// Stations that share their router's address, to the outside.
    Snat,
}

impl Options {
    fn program(&self) -> Result<PathBuf> {
        match &self.vtepd {
            Some(program) => Ok(program.clone()),
            None => vtepd::beside_us("vtepd"),
        }
    }
}

/// Against whom, and how to get at it.
enum Against<'a> {
    OpenVSwitch,
    Vtepd(&'a str, &'a Path),
}

/// Compares, prints, and writes.
pub fn run(opponent: &Opponent) -> Result<()> {
    cores::stay_on(0)?;
    interrupt::listen()?;
    let (options, against) = match opponent {
        Opponent::Ovs(options) => (&**options, Against::OpenVSwitch),
        Opponent::Rev(other) => (&other.options, Against::Vtepd(&other.name, &other.program)),
    };
    let (b, settings) = match against {
        Against::OpenVSwitch => (
            switch::version()?,
            switch::SETTINGS.map(str::to_owned).to_vec(),
        ),
        Against::Vtepd(name, _) => (name.to_owned(), Vec::new()),
    };
    let all = Comparison {
        a: options.vtepd_name.clone(),
        b,
        settings,
        contests: Vec::new(),
        failed: Vec::new(),
    };
    let mut results = Results {
        about: machine::about(),
        ..Results::default()
    };
    let begin = Instant::now();
    let mut write = |all: &Comparison| {
        results.about.minutes = begin.elapsed().as_secs_f64() / 60.0;
        results.comparison = Some(all.clone());
        write_json(options.json.as_deref(), &results)
    };
    let (all, outcome) = run_all(options, &against, all, &mut write);
    // What was measured before something failed is shown all the same.
    table::print(&all);
    outcome?;
    match all.failed.len() {
        0 => Ok(()),
        failed => bail!("{failed} workloads could not be compared"),
    }
}

/// One workload after another; what was found of each is kept before the next.
fn run_all(
    options: &Options,
    against: &Against<'_>,
    mut all: Comparison,
    keep: &mut dyn FnMut(&Comparison) -> Result<()>,
) -> (Comparison, Result<()>) {
    for work in works(options, against) {
        let label = work.label();
        let title = label.to_string();
        let progress = |what: &str| terminal::progress(&title, what);
        let done = match &work {
            Work::OneWay(flows) => one_way(options, against, &**flows, &progress),
            Work::Translate(cloud) => translate(options, against, *cloud, &progress),
        };
        match done {
            Ok((compared, io, pairs)) => all.contests.push(Contest {
                label,
                compared,
                io,
                pairs,
            }),
            Err(error) => {
                progress(&format!("failed: {error:#}"));
                all.failed.push((label, format!("{error:#}")));
            }
        }
        if let Err(error) = interrupt::check().and_then(|()| keep(&all)) {
            return (all, Err(error));
        }
    }
    (all, Ok(()))
}

/// What a workload sends.
enum Work {
    OneWay(Box<dyn Flows>),
    Translate(Cloud),
}

impl Work {
    fn label(&self) -> Label {
        match self {
            Self::OneWay(flows) => flows.label(),
            Self::Translate(cloud) => nat::label(cloud, Way::Out),
        }
    }
}

/// All sizes of all workloads that are wanted.
fn works(options: &Options, against: &Against<'_>) -> Vec<Work> {
    let wanted = |name| options.workloads.is_empty() || options.workloads.contains(&name);
    let seed = options.seed;
    let mut works: Vec<Work> = Vec::new();
    for (name, direction) in [
        (Name::Decap, Direction::Decap),
        (Name::Encap, Direction::Encap),
    ] {
        let sizes = options.macs.iter().filter(|_| wanted(name));
        works.extend(sizes.map(|macs| {
            Work::OneWay(Box::new(Workload {
                fabric: Fabric::SMALL,
                direction,
                macs: *macs,
                seed,
                learning: false,
            }))
        }));
    }
    for &stations in options.neighbours.iter().filter(|_| wanted(Name::Routed)) {
        works.extend(options.routed_routers.iter().map(|routers| {
            Work::OneWay(Box::new(Routed {
                direction: Direction::Encap,
                routers: *routers,
                stations,
                seed,
            }))
        }));
    }
    let most_kept = match against {
        Against::OpenVSwitch => switch::MOST_FRAMES as usize,
        Against::Vtepd(..) => MOST_KEPT,
    };
    for &flows in options.sessions.iter().filter(|_| wanted(Name::Snat)) {
        let cloud = |inside: &Inside| Cloud {
            translation: Translation::Snat,
            inside: match inside {
                Inside::Vlan => Side::Local,
                Inside::Vxlan => Side::Remote,
            },
            flows,
            seed,
            most_kept,
        };
        works.extend(options.inside.iter().map(cloud).map(Work::Translate));
    }
    works
}

type Done = (u64, Option<Measured>, Pairs);

fn one_way(
    options: &Options,
    against: &Against<'_>,
    flows: &dyn Flows,
    progress: &dyn Fn(&str),
) -> Result<Done> {
    let run = forward::Run {
        flows,
        samples: options.samples,
    };
    let program = options.program()?;
    let own = OneWay::new(&options.vtepd_name, &program, run, progress)?;
    let other: Box<dyn Contender + '_> = match against {
        Against::OpenVSwitch => Box::new(OpenVSwitch::one_way(flows, &own.prepared)?),
        Against::Vtepd(name, program) => Box::new(OneWay::new(name, program, run, progress)?),
    };
    let floor = || {
        let prepared = &own.prepared;
        forward::floor(&prepared.setup, &prepared.frames, options.samples, &|_| ())
    };
    contest(options, (&own, &*other), &floor, progress)
}

fn translate(
    options: &Options,
    against: &Against<'_>,
    cloud: Cloud,
    progress: &dyn Fn(&str),
) -> Result<Done> {
    let make = |name: &str, program: &Path| {
        Translating::new(name, program, cloud, options.samples, progress)
    };
    let own = make(&options.vtepd_name, &options.program()?)?;
    let other: Box<dyn Contender + '_> = match against {
        Against::OpenVSwitch => Box::new(OpenVSwitch::translate(&own.prepared)?),
        Against::Vtepd(name, program) => Box::new(make(name, program)?),
    };
    let floor = || own.prepared.floor(&own.prepared.kept, &|_| ());
    contest(options, (&own, &*other), &floor, progress)
}

/// Bytes before time, then pairs.
fn contest(
    options: &Options,
    (a, b): (&dyn Contender, &dyn Contender),
    floor: &dyn Fn() -> Result<Measured>,
    progress: &dyn Fn(&str),
) -> Result<Done> {
    let mut compared = 0;
    for contender in [a, b] {
        progress(&format!("comparing what comes out of {}", contender.name()));
        let checked = contender.check();
        compared = checked.with_context(|| format!("what comes out of {}", contender.name()))?;
    }
    let io = match options.no_io {
        true => None,
        false => {
            progress("io");
            Some(floor().context("io")?)
        }
    };
    let effort = Effort {
        pairs: options.pairs,
        samples: options.samples,
    };
    let cycles = io.as_ref().and_then(|io| Some(io.cycles?.median));
    let pairs = pairs::run((a, b), effort, cycles, progress)?;
    Ok((compared, io, pairs))
}
