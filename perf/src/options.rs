//! The command line.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vtepd_perf::frames::dvr::{MOST_ROUTERS, MOST_STATIONS};
use vtepd_perf::frames::flood::MOST_VTEPS;
use vtepd_perf::frames::nat::MOST_FLOATING;

use crate::compare::Opponent;
use crate::export;
use crate::system::vtepd;

/// Measures vtepd on this machine: one worker on core 1, everything else on core 0.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Runs workloads and prints a table.
    Run(Box<Run>),
    /// Runs a small size of every workload, to see that what comes out is right; the figures
    /// say nothing. Takes about a minute.
    Smoke,
    /// Makes docs/performance.md and its plots of results.
    Report(ReportArgs),
    /// Compares the MAC table with HashMap and, where built with it, rte_hash, and the routes
    /// with a prefix trie.
    Tables(TablesArgs),
    /// Writes the frames of a workload, and the state that makes its stations known, for traffic
    /// generators and boxes elsewhere.
    Frames(export::Frames),
    /// Runs workloads in turns with another program, and prints how many times as fast ours is.
    #[command(subcommand)]
    Compare(Opponent),
}

#[derive(Args)]
pub struct ReportArgs {
    /// What `--json` has written; of what is in several of them, the last counts. None: all in
    /// perf/results.
    pub results: Vec<PathBuf>,
    /// Where the pages go.
    #[arg(long, default_value = "docs")]
    pub docs: PathBuf,
}

#[derive(Args)]
pub struct TablesArgs {
    /// Entries; k and M are understood.
    #[arg(long, value_delimiter = ',', default_value = "1k,100k,1M,16M", value_parser = size)]
    pub entries: Vec<u32>,
    /// Routes of a VRF.
    #[arg(long, value_delimiter = ',', default_value = "100,1k,100k,1M", value_parser = size)]
    pub routes: Vec<u32>,
    /// Which; both when none is named.
    #[arg(long)]
    pub only: Option<Table>,
    /// Rounds of all contenders, one after another.
    #[arg(long, default_value_t = 7)]
    pub rounds: usize,
    /// The core it runs on.
    #[arg(long, default_value_t = vtepd::WORKER_CORE)]
    pub core: u32,
    /// Also writes everything to a file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Parser)]
pub struct Run {
    /// Which; all of them when none is named.
    pub workloads: Vec<Name>,
    /// All of them, and the tables alone: everything that docs/performance.md shows.
    #[arg(long, conflicts_with = "workloads")]
    pub all: bool,
    /// One sample of each: good for a look, not for figures.
    #[arg(long, conflicts_with = "samples")]
    pub quick: bool,
    /// Sizes of decap, encap and io: destination MACs; k and M are understood.
    #[arg(long, value_delimiter = ',', default_value = "1k,100k,1M", value_parser = size)]
    pub macs: Vec<u32>,
    /// Whether sources are learned.
    #[arg(long, value_delimiter = ',', default_value = "off,on")]
    pub learning: Vec<Switch>,
    /// Sizes of routed and dvr-in: stations that packets are routed to.
    #[arg(long, value_delimiter = ',', default_value = "1k,100k", value_parser = neighbours)]
    pub neighbours: Vec<u32>,
    /// Routers of routed.
    #[arg(long, value_delimiter = ',', default_value = "1,1k", value_parser = routed_routers)]
    pub routed_routers: Vec<u32>,
    /// VTEPs of flood.
    #[arg(long, value_delimiter = ',', default_value = "16,128", value_parser = vteps)]
    pub vteps: Vec<u32>,
    /// Sessions of snat.
    #[arg(long, value_delimiter = ',', default_value = "1,64k,1M,4M", value_parser = sessions)]
    pub sessions: Vec<u32>,
    /// Floating IPs of fip.
    #[arg(long, value_delimiter = ',', default_value = "1k,64k", value_parser = floating_ips)]
    pub floating_ips: Vec<u32>,
    /// Sessions that new-sessions opens.
    #[arg(long, default_value = "4M", value_parser = sessions)]
    pub new_sessions: u32,
    /// Where the stations of snat and fip are: behind VXLAN, or on the access port.
    #[arg(long, value_delimiter = ',', default_value = "vxlan,vlan")]
    pub inside: Vec<Inside>,
    /// The ways of snat and fip.
    #[arg(long, value_delimiter = ',', default_value = "out,return")]
    pub ways: Vec<Ways>,
    /// Quiet one-second samples of each; 0: one, quiet or not.
    #[arg(long, default_value_t = 5)]
    pub samples: usize,
    /// Changes of the MAC table a second by a writer in the worker's process, of churn.
    #[arg(long, default_value = "1M", value_parser = size)]
    pub changes_inside: u32,
    /// Changes of the MAC table a second by REST, of churn.
    #[arg(long, default_value = "100k", value_parser = size)]
    pub changes: u32,
    /// Ports of load.
    #[arg(long, default_value = "1M", value_parser = size)]
    pub ports: u32,
    /// Routers with a hundred routes each, of routes.
    #[arg(long, default_value = "10k", value_parser = size)]
    pub routers: u32,
    /// Routes of the full table, of routes.
    #[arg(long, default_value = "1M", value_parser = size)]
    pub full_table: u32,
    /// Of the frames' order.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The daemon; by default the one that was built beside this program.
    #[arg(long)]
    pub vtepd: Option<PathBuf>,
    /// Also writes everything to a file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
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
    /// Broadcasts to many VTEPs.
    Flood,
    /// All kinds of packets of three lengths, both ways.
    Mix,
    /// Decap while the MAC table changes.
    Churn,
    /// One worker and two.
    Scale,
    /// Time through the box at parts of the rate without loss.
    Latency,
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
pub enum Inside {
    Vxlan,
    Vlan,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ways {
    Out,
    Return,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// The MAC table.
    Fdb,
    /// The routes of a VRF.
    Route,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    Off,
    On,
}

pub fn size(text: &str) -> Result<u32, String> {
    within(text, 16..=64_000_000)
}

fn vteps(text: &str) -> Result<u32, String> {
    within(text, 1..=MOST_VTEPS)
}

pub fn neighbours(text: &str) -> Result<u32, String> {
    within(text, 16..=MOST_STATIONS)
}

pub fn routed_routers(text: &str) -> Result<u32, String> {
    within(text, 1..=MOST_ROUTERS)
}

pub fn sessions(text: &str) -> Result<u32, String> {
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
pub const SMOKE: &str = "smoke decap encap routed dvr-in flood mix churn scale latency load routes snat fip new-sessions --samples 0 \
     --macs 1k --neighbours 1k --changes 20k --ports 10k --routers 100 --full-table 10k --sessions 1,1k --floating-ips 1k \
     --new-sessions 64k";

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
