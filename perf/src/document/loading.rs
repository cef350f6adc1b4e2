//! What a large state costs.

use super::markdown::{grouped, mib, range, table};
use crate::results::Results;
use crate::results::routes::Loaded;

pub fn load(results: &Results) -> Option<String> {
    let load = results.load.as_ref()?;
    Some(format!(
        "## Loading and restarting\n\n\
         {} ports, each with a MAC and an address behind a remote VTEP, by REST into an empty daemon: {:.1} s, {} a second \
         ({:.1} s of CPU time on the control side). A port takes {:.0} bytes of memory ({} empty, {} loaded, {} at most) and the \
         state {} on disk. After `kill -9` the first correct packet left {:.1} s after the start ({:.1} s of CPU time), with {}; \
         {} packets were compared.\n",
        grouped(load.ports.into()),
        load.seconds,
        grouped(load.ports_per_second as u64),
        load.cpu_seconds,
        load.bytes_per_port,
        mib(load.empty_bytes),
        mib(load.loaded_bytes),
        mib(load.peak_bytes),
        mib(load.disk_bytes),
        load.restart_seconds,
        load.restart_cpu_seconds,
        mib(load.restarted_bytes),
        grouped(load.packets_checked)
    ))
}

pub fn routes(results: &Results) -> Option<String> {
    let routes = results.routes.as_ref()?;
    let line = |(name, loaded): (&str, &Loaded)| {
        let (read, kept) = loaded.table_bytes;
        vec![
            name.to_owned(),
            grouped(loaded.routes),
            format!("{:.1} s ({:.1} s)", loaded.seconds, loaded.cpu_seconds),
            mib(loaded.bytes),
            format!("{}, {}", mib(read), mib(kept)),
            mib(loaded.changed_bytes),
            format!(
                "{} ({:.2})",
                range(Some(loaded.change_ms), 2),
                loaded.change_cpu_ms
            ),
        ]
    };
    let lines = [
        ("many routers", &routes.routers),
        ("a full table", &routes.full),
    ]
    .map(line);
    let churn = &routes.churn;
    Some(format!(
        "## Routers and routes\n\n{}\n\
         A route whose packets came all the time changed its next hop {:.0} times a second ({} asked for): {} packets came out, \
         {} by the one and {} by the other, in {} turns, all in order and none missing.\n",
        table(
            &[
                "",
                "routes",
                "loaded in (CPU time)",
                "memory above the empty daemon",
                "of which tables: read, kept by the writer",
                "memory after 1,000 changes",
                "a call that changes one, ms (CPU time)",
            ],
            lines
        ),
        churn.rate,
        churn.wanted_rate,
        grouped(churn.packets.iter().sum()),
        grouped(churn.packets[0]),
        grouped(churn.packets[1]),
        churn.turns
    ))
}
