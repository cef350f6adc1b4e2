//! What people read.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;
use vtepd_perf::frames::short;
use vtepd_perf::summary::Summary;

use crate::sampling::Measured;
use crate::tables;
use crate::workloads::nat::Way;
use crate::workloads::{churn, forward, load, nat, routes};

/// Everything of one call.
#[derive(Default, Serialize)]
pub struct Report {
    /// `decap`, `encap`, `routed`, `dvr-in`.
    pub forward: Vec<forward::Report>,
    /// `snat`, `fip`, `new-sessions`.
    pub nat: Vec<nat::Report>,
    /// `churn`.
    pub churn: Option<churn::Report>,
    /// `load`.
    pub load: Option<load::Report>,
    /// `routes`.
    pub routes: Option<routes::Report>,
}

/// Everything of one comparison of tables.
#[derive(Default, Serialize)]
pub struct Tables {
    /// The MAC table.
    pub fdb: Vec<tables::Row>,
    /// The routes of a VRF.
    pub route: Vec<tables::routes::Row>,
}

/// The name of a run.
pub fn title(workload: &str, size: u32, variant: &str) -> String {
    match variant {
        "" => format!("{workload} {}", short(size)),
        variant => format!("{workload} {}, {variant}", short(size)),
    }
}

/// The name of a run that translates.
pub fn translated(workload: &str, flows: u32, inside: &str) -> String {
    format!("{workload} {}, {inside}", short(flows))
}

/// Says what is going on.
pub fn progress(title: &str, what: &str) {
    eprintln!("  {title}: {what}");
}

fn range(summary: Option<Summary>, digits: usize) -> String {
    summary.map_or("-".to_owned(), |s| {
        format!(
            "{:.digits$} ({:.digits$}-{:.digits$})",
            s.median, s.min, s.max
        )
    })
}

impl Report {
    /// To standard output.
    pub fn print(&self) {
        self.print_forward();
        self.print_nat();
        if let Some(churn) = &self.churn {
            print_churn(churn);
        }
        if let Some(load) = &self.load {
            print_load(load);
        }
        if let Some(routes) = &self.routes {
            print_routed(routes);
        }
    }

    fn print_forward(&self) {
        let rows = self.forward.iter().map(|run| Row {
            title: title(&run.workload, run.size, &run.variant),
            measured: &run.measured,
            io: run.io.as_ref(),
        });
        let rows: Vec<Row<'_>> = rows.collect();
        print_rows(&rows, "Mpps");
    }

    fn print_nat(&self) {
        let (opening, forwarding): (Vec<_>, Vec<_>) = self
            .nat
            .iter()
            .partition(|run| run.workload == "new-sessions");
        for (runs, rate) in [(&forwarding, "Mpps"), (&opening, "M sessions/s")] {
            let rows = runs.iter().map(|run| Row {
                title: nat_title(run),
                measured: &run.measured,
                io: run.io.as_ref(),
            });
            let rows: Vec<Row<'_>> = rows.collect();
            print_rows(&rows, rate);
        }
        for run in &self.nat {
            let mut about = format!(
                "{}: {} stations, {} outside addresses",
                nat_title(run),
                run.stations,
                run.addresses
            );
            if run.workload != "fip" {
                let mib = run.session_bytes as f64 / f64::from(1 << 20);
                about += &format!(
                    ", {} ports exchanged, {mib:.0} MiB for the sessions",
                    run.exchanged
                );
            }
            println!("{about}; {} frames compared", run.compared);
        }
    }
}

fn nat_title(run: &nat::Report) -> String {
    let way = match run.way {
        _ if run.workload == "new-sessions" => "",
        Way::Out => ", out",
        Way::Return => ", return",
    };
    translated(run.workload, run.flows, run.inside) + way
}

/// A line of figures.
struct Row<'a> {
    title: String,
    measured: &'a Measured,
    io: Option<&'a Measured>,
}

fn print_rows(rows: &[Row<'_>], rate: &str) {
    let Some(first) = rows.first() else {
        return;
    };
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let mut header = vec![
        "workload".to_owned(),
        rate.to_owned(),
        "cycles/packet".to_owned(),
    ];
    header.extend(first.measured.stages.iter().map(|(name, _)| name.clone()));
    header.extend(["io", "above io"].map(str::to_owned));
    table.set_header(header);
    let mut doubts = Vec::new();
    for Row {
        title,
        measured,
        io,
    } in rows
    {
        let mut row = vec![
            title.clone(),
            range(measured.mpps, 2),
            range(measured.cycles, 0),
        ];
        let stages = measured.stages.iter();
        row.extend(stages.map(|(_, cycles)| format!("{cycles:.0}")));
        let floor = io.and_then(|io| io.cycles);
        row.push(range(floor, 0));
        let above = measured
            .cycles
            .zip(floor)
            .map(|(all, io)| all.median - io.median);
        row.push(above.map_or("-".to_owned(), |above| format!("{above:.0}")));
        table.add_row(row);
        for (of, measured) in [("", Some(*measured)), ("io of ", *io)] {
            for doubt in measured.map_or(&[][..], |Measured { doubts, .. }| doubts) {
                doubts.push(format!("{of}{title}: {doubt}"));
            }
        }
    }
    println!("{table}");
    println!(
        "Medians of one-second samples, least and greatest in parentheses; cycles are those of the time stamp counter."
    );
    println!(
        "Stages: of the packets taken in; io: testpmd on the same file. Before timing, every frame that came out was compared."
    );
    for doubt in doubts {
        println!("DOUBTFUL {doubt}");
    }
}

fn print_load(load: &load::Report) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "load: {} ports in {:.1} s ({:.0} ports/s; {:.1} s of CPU on the control side)",
        load.ports, load.seconds, load.ports_per_second, load.cpu_seconds
    );
    println!(
        "      {:.0} bytes of memory for each ({:.0} MiB empty, {:.0} MiB with hosts and networks, {:.0} MiB loaded, {:.0} MiB at most); {:.0} MiB on disk",
        load.bytes_per_port,
        mib(load.empty_bytes),
        mib(load.infrastructure_bytes),
        mib(load.loaded_bytes),
        mib(load.peak_bytes),
        mib(load.disk_bytes)
    );
    println!(
        "      after kill -9 the first packet left {:.1} s after the start ({:.1} s of CPU on the control side); {} packets compared; {:.0} MiB",
        load.restart_seconds,
        load.restart_cpu_seconds,
        load.packets_checked,
        mib(load.restarted_bytes)
    );
}

fn print_routed(report: &routes::Report) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let tables = [("routers", &report.routers), ("full table", &report.full)];
    for (name, loaded) in tables {
        let (read, kept) = loaded.table_bytes;
        println!(
            "routes: {name}: {} routes in {:.1} s ({:.1} s of CPU on the control side); {:.0} MiB above the empty daemon, of which routes {:.1} MiB for workers and {:.1} MiB for the writer",
            loaded.routes,
            loaded.seconds,
            loaded.cpu_seconds,
            mib(loaded.bytes),
            mib(read),
            mib(kept)
        );
        println!(
            "        one route changed in {} ms, {:.2} ms of CPU; {:.0} MiB after many such changes",
            range(Some(loaded.change_ms), 2),
            loaded.change_cpu_ms,
            mib(loaded.changed_bytes)
        );
    }
    let churn = &report.churn;
    println!(
        "        under traffic: {:.0} changes a second ({} asked for); {} + {} packets by the two next hops, {} turns, none missing, wrong or out of order",
        churn.rate, churn.wanted_rate, churn.packets[0], churn.packets[1], churn.turns
    );
}

fn print_churn(churn: &churn::Report) {
    println!(
        "churn: {} changes of the MAC table a second ({} asked for) beside decap {}",
        range(churn.rate, 0),
        churn.wanted_rate,
        short(churn.macs)
    );
    println!(
        "       {} frames compared while it changed, all there and in order; {} packets dropped while timing",
        churn.compared, churn.dropped
    );
    println!(
        "       {} cycles/packet with changes, {} without: {} times, by pairs of seconds",
        range(churn.churning.cycles, 0),
        range(churn.quiet.cycles, 0),
        range(churn.slowdown, 2)
    );
    for doubt in &churn.churning.doubts {
        println!("DOUBTFUL churn: {doubt}");
    }
}

/// The comparison of tables, to standard output.
pub fn print_tables(rows: &[tables::Row]) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "entries",
        "table",
        "insert, ns",
        "hit, cycles",
        "miss, cycles",
        "hit / FDB",
    ]);
    for row in rows {
        table.add_row([
            short(row.entries as u32),
            row.table.to_owned(),
            range(Some(row.insert_ns), 0),
            range(Some(row.hit_cycles), 1),
            range(Some(row.miss_cycles), 1),
            range(Some(row.hit_ratio), 2),
        ]);
    }
    println!("{table}");
    println!(
        "Medians of the rounds, least and greatest in parentheses; look-ups by 64, keys in random order; cycles of the time stamp counter."
    );
}

/// The comparison of routes, to standard output.
pub fn print_routes(rows: &[tables::routes::Row]) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "routes",
        "table",
        "insert, ns",
        "look-up, cycles",
        "a change, \u{b5}s",
        "10k changes, ms",
        "bytes read + kept",
    ]);
    for row in rows {
        table.add_row([
            format!("{} {}", short(row.routes as u32), row.family),
            row.table.to_owned(),
            range(Some(row.insert_ns), 0),
            range(Some(row.look_up_cycles), 1),
            range(row.change_us, 1),
            range(row.batch_ms, 1),
            row.bytes.map_or("-".to_owned(), |(read, kept)| {
                format!("{read:.1} + {kept:.1}")
            }),
        ]);
    }
    println!("{table}");
    println!(
        "Medians of the rounds, least and greatest in parentheses; addresses within the routes in random order; cycles of the time stamp counter; bytes of one route."
    );
}
