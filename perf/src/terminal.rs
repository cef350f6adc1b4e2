//! What people read on the terminal.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use vtepd_perf::frames::short;
use vtepd_perf::results::tables::{FdbRow, RouteRow};
use vtepd_perf::results::{Churn, Latency, Load, Nat, Results, Routes, Row, Scale, Tables};
use vtepd_perf::summary::Summary;

/// Says what is going on.
pub fn progress(title: &str, what: &str) {
    eprintln!("  {title}: {what}");
}

/// Median, least and greatest.
pub fn range(summary: Option<Summary>, digits: usize) -> String {
    summary.map_or("-".to_owned(), |s| {
        format!(
            "{:.digits$} ({:.digits$}-{:.digits$})",
            s.median, s.min, s.max
        )
    })
}

/// All results.
pub fn print(results: &Results) {
    for workload in ["flood", ""] {
        let rows = results.forward.iter();
        let rows: Vec<&Row> = rows
            .filter(|row| (row.label.workload == "flood") == (workload == "flood"))
            .collect();
        print_rows(
            &rows,
            if workload == "flood" {
                "M copies/s"
            } else {
                "Mpps"
            },
        );
    }
    print_nat(&results.nat);
    results.churn.iter().for_each(print_churn);
    results.scale.iter().for_each(print_scale);
    results.latency.iter().for_each(print_latency);
    results.load.iter().for_each(print_load);
    results.routes.iter().for_each(print_routed);
    results.tables.iter().for_each(print_tables);
    for (title, why) in &results.failed {
        println!("FAILED {title}: {why}");
    }
}

fn print_nat(all: &[Nat]) {
    for (opening, rate) in [(false, "Mpps"), (true, "M sessions/s")] {
        let rows = all.iter().map(|run| &run.row);
        let rows: Vec<&Row> = rows
            .filter(|row| (row.label.workload == "new-sessions") == opening)
            .collect();
        print_rows(&rows, rate);
    }
    for run in all {
        let mut about = format!(
            "{}: {} stations, {} outside addresses",
            run.row.label, run.stations, run.addresses
        );
        if run.row.label.workload != "fip" {
            let mib = run.session_bytes as f64 / f64::from(1 << 20);
            about += &format!(
                ", {} ports exchanged, {mib:.0} MiB for the sessions",
                run.exchanged
            );
        }
        println!("{about}; {} frames compared", run.row.compared);
    }
}

fn print_rows(rows: &[&Row], rate: &str) {
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
    let spent = |at: usize| {
        let mut cycles = rows.iter().filter_map(|row| row.measured.stages.get(at));
        cycles.any(|(_, cycles)| *cycles >= 0.5)
    };
    // Stages that none of them has anything to do in are left out.
    let stages: Vec<usize> = (0..first.measured.stages.len())
        .filter(|at| spent(*at))
        .collect();
    header.extend(stages.iter().map(|at| first.measured.stages[*at].0.clone()));
    header.extend(["io", "above io"].map(str::to_owned));
    table.set_header(header);
    let mut doubts = Vec::new();
    for Row {
        label,
        measured,
        io,
        ..
    } in rows
    {
        let mut row = vec![
            label.to_string(),
            range(measured.mpps, 2),
            range(measured.cycles, 0),
        ];
        let stages = stages.iter().filter_map(|at| measured.stages.get(*at));
        row.extend(stages.map(|(_, cycles)| format!("{cycles:.0}")));
        row.push(range(io.as_ref().and_then(|io| io.cycles), 0));
        let above = measured.above(io.as_ref());
        row.push(above.map_or("-".to_owned(), |above| format!("{above:.0}")));
        table.add_row(row);
        for (of, measured) in [("", Some(measured)), ("io of ", io.as_ref())] {
            for doubt in measured.map_or(&[][..], |measured| &measured.doubts) {
                doubts.push(format!("{of}{label}: {doubt}"));
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

fn print_load(load: &Load) {
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

fn print_routed(report: &Routes) {
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

fn print_churn(churn: &Churn) {
    println!(
        "churn: {} changes of the MAC table a second by {} ({} asked for) beside decap {}",
        range(churn.rate, 0),
        churn.by,
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

fn print_scale(scale: &Scale) {
    println!(
        "scale: {}: {} Mpps with one worker, {} with two: {} times by pairs of processes, {} by the time that workers had their cores; {} frames compared",
        scale.label,
        range(Some(scale.one), 2),
        range(Some(scale.two), 2),
        range(Some(scale.ratio), 2),
        range(Some(scale.on_core_ratio), 2),
        scale.compared
    );
    for doubt in &scale.doubts {
        println!("DOUBTFUL scale {}: {doubt}", scale.label);
    }
}

fn print_latency(latency: &Latency) {
    let limit = if latency.source_was_limit {
        " (the source was the limit)"
    } else {
        ""
    };
    println!(
        "latency: {}: {:.2} Mpps without loss{limit}",
        latency.label, latency.no_loss_mpps
    );
    let Some(first) = latency.points.first() else {
        return;
    };
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let names = first
        .percentiles
        .iter()
        .map(|(percent, _)| format!("p{percent}"));
    let header = ["load", "Mpps", "lost"].map(str::to_owned);
    table.set_header(header.into_iter().chain(names));
    for point in &latency.points {
        let times = point.percentiles.iter().map(|(_, us)| format!("{us:.1}"));
        let begin = [
            format!("{} %", point.load),
            format!("{:.2}", point.mpps),
            point.lost.to_string(),
        ];
        table.add_row(begin.into_iter().chain(times));
    }
    println!("{table}");
    println!("Microseconds from the moment when a packet was to be sent until it was back.");
    for point in &latency.points {
        for doubt in &point.doubts {
            println!(
                "DOUBTFUL latency {} at {} %: {doubt}",
                latency.label, point.load
            );
        }
    }
}

/// The comparison of tables, to standard output.
pub fn print_tables(tables: &Tables) {
    if !tables.fdb.is_empty() {
        print_fdb(&tables.fdb);
    }
    if !tables.route.is_empty() {
        print_routes(&tables.route);
    }
}

fn print_fdb(rows: &[FdbRow]) {
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
            row.table.clone(),
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

fn print_routes(rows: &[RouteRow]) {
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
            row.table.clone(),
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
