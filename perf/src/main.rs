//! `vtepd-perf`: runs the workloads and prints what they cost.

mod report;
mod sampling;
mod system;
mod tables;
mod workloads;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use vtepd_perf::frames::dvr::{MOST_ROUTERS, MOST_STATIONS, Routed};
use vtepd_perf::frames::nat::{Cloud, MOST_FLOATING, Translation};
use vtepd_perf::frames::state::Side;
use vtepd_perf::frames::{Direction, Fabric, Flows, Workload};

use crate::report::Report;
use crate::system::{cores, vtepd};
use crate::workloads::nat::Way;
use crate::workloads::{churn, forward, load, nat, new_sessions, routes};

/// Destination MACs of the stream that `churn` must not disturb.
const CHURN_MACS: u32 = 100_000;

/// Measures vtepd on this machine: one worker on core 1, everything else on core 0.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs workloads and prints a table.
    Run(Box<Run>),
    /// Runs a small size of every workload, to see that what comes out is right; the figures
    /// say nothing. Takes about a minute.
    Smoke,
    /// Compares the MAC table with HashMap and, where built with it, rte_hash, and the routes
    /// with a prefix trie.
    Tables(TablesArgs),
}

#[derive(Args)]
struct TablesArgs {
    /// Entries; k and M are understood.
    #[arg(long, value_delimiter = ',', default_value = "1k,100k,1M,16M", value_parser = size)]
    entries: Vec<u32>,
    /// Routes of a VRF.
    #[arg(long, value_delimiter = ',', default_value = "100,1k,100k,1M", value_parser = size)]
    routes: Vec<u32>,
    /// Which; both when none is named.
    #[arg(long)]
    only: Option<Table>,
    /// Rounds of all contenders, one after another.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The core it runs on.
    #[arg(long, default_value_t = vtepd::WORKER_CORE)]
    core: u32,
    /// Also writes everything to a file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Parser)]
struct Run {
    /// Which; all of them when none is named.
    workloads: Vec<Name>,
    /// Sizes of decap, encap and io: destination MACs; k and M are understood.
    #[arg(long, value_delimiter = ',', default_value = "1k,100k,1M", value_parser = size)]
    macs: Vec<u32>,
    /// Whether sources are learned.
    #[arg(long, value_delimiter = ',', default_value = "off,on")]
    learning: Vec<Switch>,
    /// Sizes of routed and dvr-in: stations that packets are routed to.
    #[arg(long, value_delimiter = ',', default_value = "1k,100k", value_parser = neighbours)]
    neighbours: Vec<u32>,
    /// Routers of routed.
    #[arg(long, value_delimiter = ',', default_value = "1,1k", value_parser = routed_routers)]
    routed_routers: Vec<u32>,
    /// Sessions of snat.
    #[arg(long, value_delimiter = ',', default_value = "1,64k,1M,4M", value_parser = sessions)]
    sessions: Vec<u32>,
    /// Floating IPs of fip.
    #[arg(long, value_delimiter = ',', default_value = "1k,64k", value_parser = floating_ips)]
    floating_ips: Vec<u32>,
    /// Sessions that new-sessions opens.
    #[arg(long, default_value = "4M", value_parser = sessions)]
    new_sessions: u32,
    /// Where the stations of snat and fip are: behind VXLAN, or on the access port.
    #[arg(long, value_delimiter = ',', default_value = "vxlan,vlan")]
    inside: Vec<Inside>,
    /// The ways of snat and fip.
    #[arg(long, value_delimiter = ',', default_value = "out,return")]
    ways: Vec<Ways>,
    /// Quiet one-second samples of each; 0: one, quiet or not.
    #[arg(long, default_value_t = 5)]
    samples: usize,
    /// Changes of the MAC table a second, of churn.
    #[arg(long, default_value = "100k", value_parser = size)]
    changes: u32,
    /// Ports of load.
    #[arg(long, default_value = "1M", value_parser = size)]
    ports: u32,
    /// Routers with a hundred routes each, of routes.
    #[arg(long, default_value = "10k", value_parser = size)]
    routers: u32,
    /// Routes of the full table, of routes.
    #[arg(long, default_value = "1M", value_parser = size)]
    full_table: u32,
    /// Of the frames' order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The daemon; by default the one that was built beside this program.
    #[arg(long)]
    vtepd: Option<PathBuf>,
    /// Also writes everything to a file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The floor: testpmd on the same files.
    Io,
    /// VXLAN to the access port.
    Decap,
    /// The access port to VXLAN.
    Encap,
    /// Through the router to stations of other hosts.
    Routed,
    /// What another host has routed to stations of this one.
    DvrIn,
    /// Decap while the MAC table changes.
    Churn,
    /// A million ports by REST, and a restart.
    Load,
    /// Routers and a full table by REST, and a route that changes under its traffic.
    Routes,
    /// Stations that share their router's address, to the outside and back.
    Snat,
    /// Stations with floating IPs, to the outside and back.
    Fip,
    /// Every packet opens a session.
    NewSessions,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Inside {
    Vxlan,
    Vlan,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ways {
    Out,
    Return,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// The MAC table.
    Fdb,
    /// The routes of a VRF.
    Route,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    Off,
    On,
}

fn size(text: &str) -> Result<u32, String> {
    within(text, 16..=64_000_000)
}

fn neighbours(text: &str) -> Result<u32, String> {
    within(text, 16..=MOST_STATIONS)
}

fn routed_routers(text: &str) -> Result<u32, String> {
    within(text, 1..=MOST_ROUTERS)
}

fn sessions(text: &str) -> Result<u32, String> {
    within(text, 1..=16_000_000)
}

fn floating_ips(text: &str) -> Result<u32, String> {
    within(text, 1..=MOST_FLOATING)
}

fn within(text: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'M']) {
        Some(digits) if text.ends_with('k') => (digits, 1000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let number: u32 = digits.parse().map_err(|_| format!("{text} is no number"))?;
    match number.checked_mul(unit) {
        Some(number) if range.contains(&number) => Ok(number),
        _ => {
            let (least, most) = range.into_inner();
            Err(format!("{text} is not between {least} and {most}"))
        }
    }
}

/// A small size of everything but the floor, which is testpmd's; one second of each, whatever
/// else the machine does.
const SMOKE: &str = "smoke decap encap routed dvr-in churn load routes snat fip new-sessions --samples 0 \
     --macs 1k --neighbours 1k --changes 20k --ports 10k --routers 100 --full-table 10k --sessions 1,1k --floating-ips 1k \
     --new-sessions 64k";

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Run(run) => run_and_report(&run),
        Command::Smoke => run_and_report(&Run::parse_from(SMOKE.split_whitespace())),
        Command::Tables(args) => {
            cores::stay_on(args.core)?;
            let progress = |what: &str| report::progress("tables", what);
            let mut all = report::Tables::default();
            if args.only != Some(Table::Route) {
                all.fdb = tables::run(&args.entries, args.rounds, &progress)?;
                report::print_tables(&all.fdb);
            }
            if args.only != Some(Table::Fdb) {
                all.route = tables::routes::run(&args.routes, args.rounds, &progress)?;
                report::print_routes(&all.route);
            }
            write_json(args.json.as_deref(), &all)
        }
    }
}

fn run_and_report(run: &Run) -> Result<()> {
    cores::stay_on(0)?;
    let mut report = Report::default();
    let outcome = run_all(run, &mut report);
    // What was measured before something failed is shown all the same.
    report.print();
    write_json(run.json.as_deref(), &report)?;
    outcome
}

fn write_json(file: Option<&Path>, report: &impl Serialize) -> Result<()> {
    let Some(file) = file else {
        return Ok(());
    };
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn run_all(run: &Run, report: &mut Report) -> Result<()> {
    let program = match &run.vtepd {
        Some(program) => program.clone(),
        None => vtepd::beside_us("vtepd")?,
    };
    let wanted = |name| run.workloads.is_empty() || run.workloads.contains(&name);
    for flows in one_way(run, &wanted) {
        let one = forward::Run {
            flows: &*flows,
            samples: run.samples,
        };
        let title = flows.label().to_string();
        let progress = |what: &str| report::progress(&title, what);
        let done = forward::run(&program, one, with_io(run), &progress);
        report.forward.push(done.with_context(|| title.clone())?);
    }
    if wanted(Name::Churn) {
        let one = forward::Run {
            flows: &bridged(run, Direction::Decap, CHURN_MACS, false),
            samples: run.samples,
        };
        let progress = |what: &str| report::progress("churn", what);
        let done = churn::run(&program, one, run.changes, &progress);
        report.churn = Some(done.context("churn")?);
    }
    if wanted(Name::Load) {
        let size = load::Size {
            ports: run.ports,
            ..load::Size::default()
        };
        let done = load::run(&program, size, &|what| report::progress("load", what));
        report.load = Some(done.context("load")?);
    }
    if wanted(Name::Routes) {
        let size = routes::Size {
            full: run.full_table,
            routers: run.routers,
            ..routes::Size::default()
        };
        let progress = |what: &str| report::progress("routes", what);
        let done = routes::run(&program, size, &progress);
        report.routes = Some(done.context("routes")?);
    }
    if wanted(Name::Snat) {
        for &sessions in &run.sessions {
            translate(run, &program, Translation::Snat, sessions, report)?;
        }
    }
    if wanted(Name::Fip) {
        for &floating_ips in &run.floating_ips {
            translate(run, &program, Translation::FloatingIp, floating_ips, report)?;
        }
    }
    if wanted(Name::NewSessions) {
        let cloud = Cloud {
            translation: Translation::SnatOfMany,
            inside: Side::Remote,
            flows: run.new_sessions,
            seed: run.seed,
        };
        let progress = |what: &str| report::progress("new-sessions", what);
        let done = new_sessions::run(&program, cloud, run.samples, with_io(run), &progress);
        report.nat.push(done.context("new-sessions")?);
    }
    Ok(())
}

/// Stations of the same networks.
fn bridged(run: &Run, direction: Direction, macs: u32, learning: bool) -> Workload {
    Workload {
        fabric: Fabric::SMALL,
        direction,
        macs,
        seed: run.seed,
        learning,
    }
}

/// All sizes of the workloads with one way and a frame out for each that goes in.
fn one_way(run: &Run, wanted: &impl Fn(Name) -> bool) -> Vec<Box<dyn Flows>> {
    let mut all: Vec<Box<dyn Flows>> = Vec::new();
    for (name, direction) in [
        (Name::Decap, Direction::Decap),
        (Name::Encap, Direction::Encap),
    ] {
        for &macs in run.macs.iter().filter(|_| wanted(name)) {
            for learning in &run.learning {
                let learning = *learning == Switch::On;
                all.push(Box::new(bridged(run, direction, macs, learning)));
            }
        }
    }
    let routed = |direction, routers, stations| -> Box<dyn Flows> {
        Box::new(Routed {
            direction,
            routers,
            stations,
            seed: run.seed,
        })
    };
    for &stations in run.neighbours.iter().filter(|_| wanted(Name::Routed)) {
        let sizes = run.routed_routers.iter();
        all.extend(sizes.map(|routers| routed(Direction::Encap, *routers, stations)));
    }
    for &stations in run.neighbours.iter().filter(|_| wanted(Name::DvrIn)) {
        all.push(routed(Direction::Decap, 1, stations));
    }
    all
}

/// Whether the floor is measured beside each workload.
fn with_io(run: &Run) -> bool {
    run.workloads.is_empty() || run.workloads.contains(&Name::Io)
}

/// One size of `snat` or `fip`, wherever the stations are, each way.
fn translate(
    run: &Run,
    program: &Path,
    translation: Translation,
    flows: u32,
    report: &mut Report,
) -> Result<()> {
    let way = |way: &Ways| match way {
        Ways::Out => Way::Out,
        Ways::Return => Way::Return,
    };
    let ways: Vec<Way> = run.ways.iter().map(way).collect();
    for inside in &run.inside {
        let (inside, wire) = match inside {
            Inside::Vxlan => (Side::Remote, "vxlan"),
            Inside::Vlan => (Side::Local, "vlan"),
        };
        let cloud = Cloud {
            translation,
            inside,
            flows,
            seed: run.seed,
        };
        let title = report::translated(nat::name(translation), flows, wire);
        let progress = |what: &str| report::progress(&title, what);
        let done = nat::run(program, cloud, &ways, run.samples, with_io(run), &progress);
        report.nat.extend(done.with_context(|| title.clone())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_sizes_have_units() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let smoke = Run::parse_from(SMOKE.split_whitespace());
        let all = Name::value_variants();
        assert_eq!(smoke.workloads.len() + 1, all.len());
        assert!(!smoke.workloads.contains(&Name::Io));
        assert_eq!(size("1k"), Ok(1000));
        assert_eq!(size("16M"), Ok(16_000_000));
        assert_eq!(size("4096"), Ok(4096));
        assert!(size("1G").is_err() && size("k").is_err() && size("3").is_err());
        assert_eq!(sessions("1"), Ok(1));
        assert!(routed_routers("2k").is_err() && neighbours("9M").is_err());
        assert!(sessions("0").is_err() && floating_ips("66k").is_err());
    }
}
