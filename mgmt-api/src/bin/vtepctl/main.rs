//! `vtepctl`: the operator's hand on the API of vtepd. A thin client: whatever it can do, `curl` can.

mod client;
mod commands;
mod compound;
mod diff;
mod explain;
mod fields;
mod nat_fields;
mod options;
mod output;
mod table;

use std::process::ExitCode;

use clap::Parser;

use client::Error;
use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    match commands::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        // `vtepctl ports list | head` is no failure.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vtepctl: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
