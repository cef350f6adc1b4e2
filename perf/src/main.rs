//! `vtepd-perf`: runs the workloads and prints what they cost.

mod compare;
mod export;
mod options;
mod report;
mod run;
mod sampling;
mod system;
mod tables;
mod terminal;
mod workloads;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use vtepd_perf::results::Results;

use crate::options::{Cli, Command, Run, SMOKE, Table, TablesArgs};
use crate::run::Runner;
use crate::system::{cores, machine};

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Run(options) => run_and_print(&options),
        Command::Smoke => run_and_print(&Run::parse_from(SMOKE.split_whitespace())),
        Command::Report(options) => report::write(&options),
        Command::Frames(options) => export::run(&options),
        Command::Tables(options) => compare_tables(&options),
        Command::Compare(opponent) => compare::run(&opponent),
    }
}

fn run_and_print(options: &Run) -> Result<()> {
    let about = machine::about();
    cores::stay_on(0)?;
    let results = Runner::new(options, about)?.run();
    terminal::print(&results);
    write_json(options.json.as_deref(), &results)?;
    match results.failed.as_slice() {
        [] => Ok(()),
        [(title, why)] => bail!("{title}: {why}"),
        several => bail!("{} workloads failed, as is said above", several.len()),
    }
}

fn compare_tables(options: &TablesArgs) -> Result<()> {
    let about = machine::about();
    cores::stay_on(options.core)?;
    let progress = |what: &str| terminal::progress("tables", what);
    let begin = Instant::now();
    let sizes = |only, sizes: &[u32]| match options.only {
        Some(other) if other != only => Vec::new(),
        _ => sizes.to_vec(),
    };
    let entries = sizes(Table::Fdb, &options.entries);
    let routes = sizes(Table::Route, &options.routes);
    let all = tables::all(&entries, &routes, options.rounds, &progress)?;
    terminal::print_tables(&all);
    let mut results = Results {
        about,
        tables: Some(all),
        ..Results::default()
    };
    results.about.minutes = begin.elapsed().as_secs_f64() / 60.0;
    write_json(options.json.as_deref(), &results)
}

fn write_json(file: Option<&Path>, results: &Results) -> Result<()> {
    let Some(file) = file else {
        return Ok(());
    };
    let text = serde_json::to_string_pretty(results)? + "\n";
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
