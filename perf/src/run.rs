//! Which workloads are run, in what order and sizes.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use vtepd_perf::frames::dvr::Routed;
use vtepd_perf::frames::flood::Flood;
use vtepd_perf::frames::mix::Mix;
use vtepd_perf::frames::nat::{Cloud, MOST_KEPT, Translation};
use vtepd_perf::frames::state::Side;
use vtepd_perf::frames::{Direction, Fabric, Flows, Workload, short};
use vtepd_perf::results::{About, Results};

use crate::options::{Inside, Name, Run, Switch, Ways};
use crate::system::{cores, vtepd};
use crate::workloads::nat::Way;
use crate::workloads::{churn, forward, latency, load, mix, nat, new_sessions, routes, scale};
use crate::{tables, terminal, write_json};

/// Destination MACs of the stream that `churn` must not disturb.
const CHURN_MACS: u32 = 100_000;

/// Those of the stream whose time through the box is measured.
const LATENCY_MACS: u32 = 1000;

/// Flows of one way and sessions that one worker and two have, unless fewer are asked for.
const SCALE_FLOWS: u32 = 100_000;
const SCALE_SESSIONS: u32 = 64_000;
/// Sizes of the tables that are measured alone, and rounds of each.
const TABLE_ENTRIES: [u32; 4] = [1000, 100_000, 1_000_000, 16_000_000];
const TABLE_ROUTES: [u32; 4] = [100, 1000, 100_000, 1_000_000];
const TABLE_ROUNDS: usize = 3;

/// Runs workloads, one after another.
pub struct Runner<'a> {
    options: &'a Run,
    program: PathBuf,
    samples: usize,
    results: Results,
    begin: Instant,
}

impl<'a> Runner<'a> {
    /// One that has run nothing yet.
    pub fn new(options: &'a Run, about: About) -> Result<Self> {
        Ok(Self {
            program: match &options.vtepd {
                Some(program) => program.clone(),
                None => vtepd::beside_us("vtepd")?,
            },
            samples: if options.quick { 1 } else { options.samples },
            results: Results {
                about,
                ..Results::default()
            },
            begin: Instant::now(),
            options,
        })
    }

    /// Runs what is wanted. What fails is told among the results, and the next is run.
    pub fn run(mut self) -> Results {
        self.one_way();
        self.translating();
        self.mix();
        self.churn();
        self.scale();
        self.latency();
        self.state();
        if self.options.all {
            self.tables();
        }
        self.results
    }

    fn wants(&self, name: Name) -> bool {
        let named = &self.options.workloads;
        named.is_empty() || named.contains(&name)
    }

    /// Whether the floor is measured beside each workload.
    fn with_io(&self) -> bool {
        self.wants(Name::Io)
    }

    /// Runs one and keeps what it has found, on disk, too: who comes back to a run that was
    /// interrupted finds what was done until then.
    fn step<T>(
        &mut self,
        title: &str,
        run: impl FnOnce(&Self, &dyn Fn(&str)) -> Result<T>,
        keep: impl FnOnce(&mut Results, T),
    ) {
        match run(self, &|what| terminal::progress(title, what)) {
            Ok(found) => keep(&mut self.results, found),
            Err(error) => {
                terminal::progress(title, &format!("FAILED: {error:#}"));
                let failure = (title.to_owned(), format!("{error:#}"));
                self.results.failed.push(failure);
            }
        }
        self.results.about.minutes = self.begin.elapsed().as_secs_f64() / 60.0;
        let written = write_json(self.options.json.as_deref(), &self.results);
        if let Err(error) = written {
            terminal::progress(title, &format!("{error:#}"));
        }
    }

    fn one_way(&mut self) {
        let all = one_way(self.options, &|name| self.wants(name));
        for flows in all {
            let run = |own: &Self, progress: &dyn Fn(&str)| {
                let one = forward::Run {
                    flows: &*flows,
                    samples: own.samples,
                };
                forward::run(&own.program, one, own.with_io(), progress)
            };
            let title = flows.label().to_string();
            self.step(&title, run, |results, row| results.forward.push(row));
        }
    }

    fn mix(&mut self) {
        if !self.wants(Name::Mix) {
            return;
        }
        let mix = Mix {
            seed: self.options.seed,
        };
        let run = |own: &Self, progress: &dyn Fn(&str)| {
            mix::run(&own.program, mix, own.samples, progress)
        };
        self.step("mix", run, |results, row| results.forward.push(row));
    }

    fn churn(&mut self) {
        if !self.wants(Name::Churn) {
            return;
        }
        let options = self.options;
        let workload = bridged(options, Direction::Decap, CHURN_MACS, false);
        let rest = |own: &Self, progress: &dyn Fn(&str)| {
            let one = forward::Run {
                flows: &workload,
                samples: own.samples,
            };
            churn::rest::run(&own.program, one, options.changes, progress)
        };
        let inside = |own: &Self, progress: &dyn Fn(&str)| {
            churn::inside::run(workload, options.changes_inside, own.samples, progress)
        };
        self.step("churn by REST", rest, |results, churn| {
            results.churn.push(churn)
        });
        self.step("churn inside", inside, |results, churn| {
            results.churn.push(churn)
        });
    }

    fn latency(&mut self) {
        if !self.wants(Name::Latency) {
            return;
        }
        let workload = bridged(self.options, Direction::Decap, LATENCY_MACS, false);
        let run = |own: &Self, progress: &dyn Fn(&str)| {
            let effort = latency::Effort::of(own.samples);
            latency::run(&own.program, workload, effort, own.with_io(), progress)
        };
        self.step("latency", run, |results, all| results.latency = all);
    }

    fn scale(&mut self) {
        if !self.wants(Name::Scale) {
            return;
        }
        let options = self.options;
        let most = |sizes: &[u32], size: u32| sizes.iter().copied().max().unwrap_or(size).min(size);
        let macs = most(&options.macs, SCALE_FLOWS);
        let stations = most(&options.neighbours, SCALE_FLOWS);
        let flows: [Box<dyn Flows>; 2] = [
            Box::new(bridged(options, Direction::Decap, macs, false)),
            Box::new(Routed {
                direction: Direction::Encap,
                routers: 1,
                stations,
                seed: options.seed,
            }),
        ];
        for flows in &flows {
            let run = |own: &Self, progress: &dyn Fn(&str)| {
                let subject = scale::Subject::forward(&own.program, &**flows, progress)?;
                scale::run(&subject, own.samples, progress)
            };
            let title = format!("scale, {}", flows.label());
            self.step(&title, run, |results, scale| results.scale.push(scale));
        }
        let cloud = Cloud {
            translation: Translation::Snat,
            inside: Side::Remote,
            flows: most(&options.sessions, SCALE_SESSIONS),
            most_kept: MOST_KEPT,
            seed: options.seed,
        };
        let run = |own: &Self, progress: &dyn Fn(&str)| {
            let subject = scale::Subject::snat(&own.program, cloud, progress)?;
            scale::run(&subject, own.samples, progress)
        };
        let title = format!("scale, snat {}", short(cloud.flows));
        self.step(&title, run, |results, scale| results.scale.push(scale));
    }

    /// What a large state costs.
    fn state(&mut self) {
        let options = self.options;
        if self.wants(Name::Load) {
            let size = load::Size {
                ports: options.ports,
                ..load::Size::default()
            };
            let run = |own: &Self, progress: &dyn Fn(&str)| load::run(&own.program, size, progress);
            self.step("load", run, |results, load| results.load = Some(load));
        }
        if self.wants(Name::Routes) {
            let size = routes::Size {
                full: options.full_table,
                routers: options.routers,
                ..routes::Size::default()
            };
            let run =
                |own: &Self, progress: &dyn Fn(&str)| routes::run(&own.program, size, progress);
            self.step("routes", run, |results, routes| {
                results.routes = Some(routes)
            });
        }
    }

    fn translating(&mut self) {
        let options = self.options;
        let mut all = Vec::new();
        if self.wants(Name::Snat) {
            let sizes = options.sessions.iter();
            all.extend(sizes.map(|sessions| (Translation::Snat, *sessions)));
        }
        if self.wants(Name::Fip) {
            let sizes = options.floating_ips.iter();
            all.extend(sizes.map(|addresses| (Translation::FloatingIp, *addresses)));
        }
        for (translation, flows) in all {
            for inside in &options.inside {
                self.translate(translation, flows, *inside);
            }
        }
        if self.wants(Name::NewSessions) {
            let cloud = Cloud {
                translation: Translation::SnatOfMany,
                inside: Side::Remote,
                flows: options.new_sessions,
                most_kept: MOST_KEPT,
                seed: options.seed,
            };
            let run = |own: &Self, progress: &dyn Fn(&str)| {
                new_sessions::run(&own.program, cloud, own.samples, own.with_io(), progress)
            };
            self.step("new-sessions", run, |results, nat| results.nat.push(nat));
        }
    }

    /// One size of `snat` or `fip`, each way.
    fn translate(&mut self, translation: Translation, flows: u32, inside: Inside) {
        let (inside, wire) = match inside {
            Inside::Vxlan => (Side::Remote, "vxlan"),
            Inside::Vlan => (Side::Local, "vlan"),
        };
        let cloud = Cloud {
            translation,
            inside,
            flows,
            most_kept: MOST_KEPT,
            seed: self.options.seed,
        };
        let way = |way: &Ways| match way {
            Ways::Out => Way::Out,
            Ways::Return => Way::Return,
        };
        let ways: Vec<Way> = self.options.ways.iter().map(way).collect();
        let run = |own: &Self, progress: &dyn Fn(&str)| {
            nat::run(
                &own.program,
                cloud,
                &ways,
                own.samples,
                own.with_io(),
                progress,
            )
        };
        let title = format!("{} {}, {wire}", nat::name(translation), short(flows));
        self.step(&title, run, |results, rows| results.nat.extend(rows));
    }

    fn tables(&mut self) {
        let rounds = if self.options.quick { 1 } else { TABLE_ROUNDS };
        let run = |_: &Self, progress: &dyn Fn(&str)| {
            // Nothing else runs meanwhile.
            cores::stay_on(vtepd::WORKER_CORE)?;
            let all = tables::all(&TABLE_ENTRIES, &TABLE_ROUTES, rounds, progress);
            cores::stay_on(0)?;
            all
        };
        self.step("tables", run, |results, all| results.tables = Some(all));
    }
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
