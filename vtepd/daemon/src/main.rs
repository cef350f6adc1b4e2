//! vtepd: a VXLAN tunnel end point on DPDK, driven by REST.
//!
//! ```text
//!   vtepd.toml ─► config ─► device (EAL, pool, ports) ─► queues ─► workers
//!                              REST ─► mgmt-api ─► control ─► tables ─┘
//! ```
//!
//! `daemon` brings all of it up in this order and down in reverse.

#![forbid(unsafe_code)]

mod config;
mod control;
mod crossings;
mod daemon;
mod device;
mod frame;
mod io;
mod logging;
mod nat_log;
mod queues;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// A VXLAN tunnel end point and distributed router on DPDK.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "/etc/vtepd/vtepd.toml")]
    config: PathBuf,
    /// Only check the configuration file.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match config::Config::read(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("vtepd: {error}");
            return ExitCode::from(2);
        }
    };
    if arguments.check {
        println!("{}: good", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    if let Err(error) = logging::start(&config.log) {
        eprintln!("vtepd: {error}");
        return ExitCode::from(2);
    }
    match daemon::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, from what was tried to why it failed.
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
