//! Serves the API over a control plane that forwards nothing: to try the API, to write clients against it, and for
//! the tests that need a process to kill.
//!
//! `cargo run --example serve_fake -- 127.0.0.1:4788 [STORE]` — port 0 takes a free one. The address is printed once it answers.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::sync::Arc;

use mgmt_api::manager::Manager;
use mgmt_api::rest::{self, Config, Endpoint};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let at = args.next().unwrap_or_else(|| "127.0.0.1:4788".to_owned());
    let store = args.next().map(PathBuf::from);
    let mirrors = std::env::var_os("NO_MIRROR").is_none();
    let control = Arc::new(support::FakeControl {
        mirrors,
        ..Default::default()
    });
    let started = std::time::Instant::now();
    let (manager, _writer) =
        tokio::task::spawn_blocking(|| Manager::start(control, store)).await??;
    eprintln!("read the store in {:?}", started.elapsed());
    let endpoint = match at.strip_prefix("unix:") {
        Some(path) => Endpoint::Unix(path.into()),
        None => Endpoint::Tcp(at.parse()?),
    };
    let bound = rest::bind(&endpoint).await?;
    println!(
        "{}",
        bound
            .tcp_address()
            .map_or(at, |address| address.to_string())
    );
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let router = rest::router(manager, Config::default());
    Ok(rest::serve(vec![bound], router, stop).await?)
}
