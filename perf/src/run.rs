//! Which workloads are run, in what order and sizes.

use std::path::Path;

use anyhow::{Context, Result};
use vtepd_perf::frames::dvr::Routed;
use vtepd_perf::frames::flood::Flood;
use vtepd_perf::frames::nat::{Cloud, MOST_KEPT, Translation};
use vtepd_perf::frames::state::Side;
use vtepd_perf::frames::{Direction, Fabric, Flows, Workload, short};
use vtepd_perf::results::Results;

use crate::options::{Inside, Name, Run, Switch, Ways};
use crate::system::vtepd;
use crate::terminal;
use crate::workloads::nat::Way;
use crate::workloads::{churn, forward, load, nat, new_sessions, routes};

/// Destination MACs of the stream that `churn` must not disturb.
const CHURN_MACS: u32 = 100_000;

/// Runs what is wanted. What has been found before something failed is in `results`.
pub fn run_all(run: &Run, results: &mut Results) -> Result<()> {
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
        let progress = |what: &str| terminal::progress(&title, what);
        let done = forward::run(&program, one, with_io(run), &progress);
        results.forward.push(done.with_context(|| title.clone())?);
    }
    if wanted(Name::Churn) {
        let one = forward::Run {
            flows: &bridged(run, Direction::Decap, CHURN_MACS, false),
            samples: run.samples,
        };
        let progress = |what: &str| terminal::progress("churn by REST", what);
        let done = churn::rest::run(&program, one, run.changes, &progress);
        results.churn.push(done.context("churn by REST")?);
        let progress = |what: &str| terminal::progress("churn inside", what);
        let workload = bridged(run, Direction::Decap, CHURN_MACS, false);
        let done = churn::inside::run(workload, run.changes_inside, run.samples, &progress);
        results.churn.push(done.context("churn inside")?);
    }
    if wanted(Name::Load) {
        let size = load::Size {
            ports: run.ports,
            ..load::Size::default()
        };
        let done = load::run(&program, size, &|what| terminal::progress("load", what));
        results.load = Some(done.context("load")?);
    }
    if wanted(Name::Routes) {
        let size = routes::Size {
            full: run.full_table,
            routers: run.routers,
            ..routes::Size::default()
        };
        let progress = |what: &str| terminal::progress("routes", what);
        let done = routes::run(&program, size, &progress);
        results.routes = Some(done.context("routes")?);
    }
    if wanted(Name::Snat) {
        for &sessions in &run.sessions {
            translate(run, &program, Translation::Snat, sessions, results)?;
        }
    }
    if wanted(Name::Fip) {
        for &floating_ips in &run.floating_ips {
            translate(
                run,
                &program,
                Translation::FloatingIp,
                floating_ips,
                results,
            )?;
        }
    }
    if wanted(Name::NewSessions) {
        let cloud = Cloud {
            translation: Translation::SnatOfMany,
            inside: Side::Remote,
            flows: run.new_sessions,
            seed: run.seed,
            most_kept: MOST_KEPT,
        };
        let progress = |what: &str| terminal::progress("new-sessions", what);
        let done = new_sessions::run(&program, cloud, run.samples, with_io(run), &progress);
        results.nat.push(done.context("new-sessions")?);
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

/// All sizes of the workloads with one way.
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
    for &vteps in run.vteps.iter().filter(|_| wanted(Name::Flood)) {
        let seed = run.seed;
        all.push(Box::new(Flood { vteps, seed }));
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
    results: &mut Results,
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
            most_kept: MOST_KEPT,
        };
        let title = format!("{} {}, {wire}", nat::name(translation), short(flows));
        let progress = |what: &str| terminal::progress(&title, what);
        let done = nat::run(program, cloud, &ways, run.samples, with_io(run), &progress);
        results.nat.extend(done.with_context(|| title.clone())?);
    }
    Ok(())
}
