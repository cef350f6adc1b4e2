//! Bringing everything up, and down again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use crossbeam::channel::{Receiver, bounded, select, unbounded};
use dpdk_ffi::{Eal, Pool};
use mgmt_api::control::{Device as ApiDevice, Facts};
use mgmt_api::mac::Mac;
use mgmt_api::manager::Manager;
use mgmt_api::rest;
use rustix::thread::CpuSet;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use vtepd_datapath::{Idle, Seconds};
use vtepd_nat::Capacity;
use vtepd_tables::{InterfaceIndex, Limits, Proxy, Tables, Tag};
use vtepd_wire::ethernet;
use vtepd_wire::flow::FlowHasher;

use crate::config::{self, Config};
use crate::control::{self, MetadataSettings, Parts, Plane, TranslationCapacity, TunnelSettings};
use crate::device::{self, Device};
use crate::nat_log::{NatLog, Sink};
use crate::queues;
use crate::workers::{self, Common, Presence, Translation, WorkerHandle};

/// Outside addresses that may still end while others are begun, at some bytes each: more are taken away at a time by those
/// only who replace half a configuration.
const SPARE_POOLS: u16 = 256;

/// Runs until a signal asks to stop.
pub fn run(config: &Config) -> Result<()> {
    let signals = Signals::new([SIGTERM, SIGINT]).context("cannot wait for signals")?;
    // Whoever rotates logs sends it, whether there is one to be rotated or not.
    let reopen = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&reopen)).context("cannot wait for SIGHUP")?;
    // Before any device is touched: a second daemon by mistake ends here.
    let listening = listen(config)?;
    let log = config.nat.log.target()?;
    let log = log.as_ref().map(Sink::open).transpose()?;
    leave_worker_cores(&config.worker_cores())?;
    let eal = device::start_eal(config)?;
    let pool = device::create_pool(config, &eal)?;
    let outcome = forward(config, &eal, &pool, signals, listening, (log, reopen));
    // Everything that had packets is gone: they must all be back.
    let balance = check_balance(&pool);
    outcome.and(balance)
}

/// All threads that are not workers stay away from the workers' cores, if there
/// are others: threads inherit this.
fn leave_worker_cores(workers: &[u32]) -> Result<()> {
    let mut cores =
        rustix::thread::sched_getaffinity(None).context("cannot read the CPU affinity")?;
    for core in workers {
        cores.unset(*core as usize);
    }
    if (0..CpuSet::MAX_CPU).any(|core| cores.is_set(core)) {
        rustix::thread::sched_setaffinity(None, &cores).context("cannot set the CPU affinity")?;
    }
    Ok(())
}

fn forward(
    config: &Config,
    eal: &Eal,
    pool: &Pool,
    signals: Signals,
    listening: Listening,
    (log, reopen): (Option<Sink>, Arc<AtomicBool>),
) -> Result<()> {
    let start = Instant::now();
    let clock = Arc::new(Seconds::default());
    let devices: Arc<[Device]> = device::open_devices(config, eal, pool)?.into();
    let hz = dpdk_ffi::tsc_hz(eal);
    let handles: Arc<[WorkerHandle]> = config
        .worker_cores()
        .iter()
        .map(|core| WorkerHandle::new(*core, hz))
        .collect();
    let limits = Limits {
        fdb: config.tables.fdb,
        neighbours: config.tables.neighbours,
    };
    let mut tables = Tables::new(limits);
    tables.edit().local.udp_ports = config.vxlan.ports.clone();
    let shared_tables = Arc::clone(tables.tables());
    let flows = random_flows();
    let secret = vtepd_tables::random_hash();
    let plane = Plane::new(Parts {
        facts: facts(config, &devices)?,
        tables,
        learned_limit: config.tables.learned.unwrap_or(config.tables.fdb / 2),
        route_limit: config.tables.routes,
        translation: TranslationCapacity {
            pools: config.nat.pools,
            spare_pools: SPARE_POOLS,
            tenants: config.nat.tenants,
        },
        secret,
        flows,
        devices: Arc::clone(&devices),
        workers: Arc::clone(&handles),
        tunnels: TunnelSettings {
            dscp: config.vxlan.dscp,
            ttl: config.vxlan.ttl,
        },
        metadata: metadata(config, &devices),
        start,
        clock: Arc::clone(&clock),
    });

    // Accepted state is in force before the first packet is looked at.
    std::fs::create_dir_all(&config.state.directory).with_context(|| {
        format!(
            "cannot make the state directory {}",
            config.state.directory.display()
        )
    })?;
    let (manager, writer) = Manager::start(plane.clone(), Some(config.state.directory.clone()))
        .with_context(|| {
            format!(
                "cannot take up the state in {}",
                config.state.directory.display()
            )
        })?;
    tracing::info!(
        milliseconds = start.elapsed().as_millis() as u64,
        "state loaded"
    );

    for device in devices.iter() {
        device
            .port
            .start()
            .with_context(|| format!("cannot start the device {:?}", device.name))?;
    }
    let ios = queues::deal_out(
        eal,
        &devices,
        handles.len(),
        pool,
        config.workers.steering,
        flows,
    )?;
    let (ended, thread_ended) = unbounded();
    let (ready, begun) = bounded(handles.len());
    let common = Common {
        eal: eal.clone(),
        tables: shared_tables,
        flows,
        idle: idle(config),
        limits: (&config.limits).into(),
        clock,
        translation: Translation {
            capacity: Capacity {
                pools: config.nat.pools.saturating_add(SPARE_POOLS),
                ..(&config.nat).into()
            },
            workers: handles.len() as u16,
            secret,
        },
        stop: Arc::default(),
        ready,
        ended,
    };
    let mut threads = Threads::new(Arc::clone(&common.stop));
    for (number, (handle, io)) in (0..).zip(handles.iter().zip(ios)) {
        let started = workers::start(&common, number, handle, io)?;
        threads.list.push(started);
    }
    wait_for_workers(handles.len(), &begun, &thread_ended, &mut threads)?;
    threads.list.push(start_control(&common, &plane)?);
    threads.list.push(start_aside(&common, Arc::clone(&plane))?);
    if let Some(sink) = log {
        let log = NatLog {
            workers: Arc::clone(&handles),
            plane,
            clock: Arc::clone(&common.clock),
            sink,
            reopen,
        };
        threads.list.push(start_log(&common, log)?);
    }

    let served = serve(config, listening, manager, signals, &thread_ended);
    // Their ends are no news from now on.
    drop(thread_ended);
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let written = writer
        .join()
        .map_err(|_| anyhow!("the state writer has panicked"));
    served.and(written).and(threads.end())
}

/// Waits until all workers poll: they make room for translations first, which takes a second for some millions.
fn wait_for_workers(
    workers: usize,
    begun: &Receiver<()>,
    thread_ended: &Receiver<String>,
    threads: &mut Threads,
) -> Result<()> {
    for _ in 0..workers {
        select! {
            recv(begun) -> _ => {}
            // Why it has ended is what its thread returns.
            recv(thread_ended) -> who => {
                threads.end()?;
                bail!("{} has ended", who.unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// The workers and the control thread. However they are left, they are told to
/// stop and waited for: what they use is taken down next.
struct Threads {
    stop: Arc<AtomicBool>,
    list: Vec<JoinHandle<Result<()>>>,
}

impl Threads {
    fn new(stop: Arc<AtomicBool>) -> Self {
        Self {
            stop,
            list: Vec::new(),
        }
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.list.drain(..).map(|thread| {
            let ended = thread.join();
            ended.map_err(|_| anyhow!("a worker or the control thread has panicked"))?
        });
        // Every one is waited for, whatever the first one says.
        ended.fold(Ok(()), Result::and)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("{error:#}");
        }
    }
}

fn start_control(common: &Common, plane: &Arc<Plane>) -> Result<JoinHandle<Result<()>>> {
    let plane = Arc::clone(plane);
    start_thread(common, "control", "the control thread", move |stop| {
        control::run_thread(&plane, stop);
    })
}

/// What is asked of workers while nobody waits for it.
fn start_aside(common: &Common, plane: Arc<Plane>) -> Result<JoinHandle<Result<()>>> {
    start_thread(
        common,
        "aside",
        "the thread beside the control thread",
        move |stop| {
            control::run_aside(&plane, stop);
        },
    )
}

fn start_log(common: &Common, log: NatLog) -> Result<JoinHandle<Result<()>>> {
    let who = "the thread of the log of translations";
    start_thread(common, "nat-log", who, move |stop| log.run(stop))
}

fn start_thread(
    common: &Common,
    name: &str,
    who: &str,
    run: impl FnOnce(&AtomicBool) + Send + 'static,
) -> Result<JoinHandle<Result<()>>> {
    let stop = Arc::clone(&common.stop);
    let presence = Presence::new(who.to_owned(), common.ended.clone());
    let thread = std::thread::Builder::new().name(name.to_owned());
    let run = move || {
        let _presence = presence;
        run(&stop);
        Ok(())
    };
    thread
        .spawn(run)
        .with_context(|| format!("cannot start {who}"))
}

fn facts(config: &Config, devices: &[Device]) -> Result<Facts> {
    let metadata = config.metadata.as_ref();
    let device = |device: &Device| ApiDevice {
        name: device.name.clone(),
        mac: Mac(device.mac),
        mtu: device.mtu,
        max_mtu: device.mtu,
        driver: device.port.info().driver.clone(),
        taken_by: (metadata.map(|own| own.device.as_str()) == Some(device.name.as_str()))
            .then_some("[metadata]"),
    };
    let local_host = config.host.parse().with_context(|| {
        format!(
            "the configuration's host {:?} cannot be an identifier",
            config.host
        )
    })?;
    Ok(Facts {
        local_host,
        devices: devices.iter().map(device).collect(),
    })
}

/// The metadata proxy that is configured.
fn metadata(config: &Config, devices: &[Device]) -> Option<MetadataSettings> {
    let own = config.metadata.as_ref()?;
    let at = devices
        .iter()
        .position(|device| device.name == own.device)?;
    let device = devices.get(at)?;
    let tag = |vlan| Tag::new(ethernet::ETHERTYPE_VLAN, vlan);
    Some(MetadataSettings {
        proxy: Proxy {
            interface: InterfaceIndex(at as u8),
            tag: own.vlan().map(tag),
            own: own.own(),
            address: own.proxy,
            port: own.port,
            mac: None,
        },
        range: own.range,
        mac: vtepd_wire::Mac(device.mac),
        mtu: device.mtu,
    })
}

/// Keys for flow hashes, so that nobody can aim at one path or worker.
fn random_flows() -> FlowHasher {
    let hash = vtepd_tables::random_hash();
    FlowHasher::new(hash.hash_u64(0), hash.hash_u64(1))
}

fn idle(config: &Config) -> Idle {
    match config.workers.idle {
        config::Idle::Poll => Idle::Poll,
        config::Idle::Sleep => {
            Idle::Sleep(Duration::from_micros(u64::from(config.workers.sleep_us)))
        }
    }
}

/// The API's sockets, which nobody answers on yet.
struct Listening {
    endpoints: Vec<rest::Endpoint>,
    bound: Vec<rest::Bound>,
    runtime: tokio::runtime::Runtime,
}

fn listen(config: &Config) -> Result<Listening> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the API's runtime")?;
    let addresses = config.api.listen.iter().copied();
    let mut endpoints: Vec<rest::Endpoint> = addresses.map(rest::Endpoint::Tcp).collect();
    if let Some(path) = &config.api.socket {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        }
        endpoints.push(rest::Endpoint::Unix(path.clone()));
    }
    let bind = |endpoint| {
        // The message has its cause in it: as a source it would be said twice.
        runtime
            .block_on(rest::bind(endpoint))
            .map_err(|error| anyhow!("{error}"))
    };
    let bound = endpoints.iter().map(bind).collect::<Result<_>>()?;
    Ok(Listening {
        endpoints,
        bound,
        runtime,
    })
}

/// Serves the API until a signal comes or a worker ends.
fn serve(
    config: &Config,
    listening: Listening,
    manager: Manager,
    mut signals: Signals,
    thread_ended: &Receiver<String>,
) -> Result<()> {
    let Listening {
        endpoints,
        bound,
        runtime,
    } = listening;
    let api = rest::Config {
        body_limit: config.api.body_limit_mb << 20,
        ..rest::Config::default()
    };
    let router = rest::router(manager, api);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::Builder::new().name("api".to_owned());
    let server = server.spawn(move || {
        runtime.block_on(rest::serve(bound, router, async {
            // Dropping the sender stops us as well.
            let _ = stopped.await;
        }))
    });
    let server = server.context("cannot start the API's thread")?;
    tracing::info!(listen = ?endpoints, "forwarding");
    let _ = sd_notify::notify(&[NotifyState::Ready]);

    let (signal, caught) = bounded(1);
    let signals_handle = signals.handle();
    let waiter = std::thread::spawn(move || {
        if let Some(number) = signals.forever().next() {
            let _ = signal.send(number);
        }
    });
    let outcome = select! {
        recv(caught) -> number => {
            tracing::info!(signal = number.unwrap_or_default(), "stopping");
            Ok(())
        }
        recv(thread_ended) -> who => Err(anyhow!("{} has ended", who.unwrap_or_default())),
    };
    signals_handle.close();
    drop(stop);
    waiter
        .join()
        .map_err(|_| anyhow!("the signal thread has panicked"))?;
    let served = server
        .join()
        .map_err(|_| anyhow!("the API's thread has panicked"))?;
    outcome.and(served.context("the API has failed"))
}

/// The last line of the log: whether every packet buffer came back.
fn check_balance(pool: &Pool) -> Result<()> {
    let (capacity, missing) = (pool.capacity(), pool.in_use());
    if missing > 0 {
        bail!("packet pool not balanced: {missing} of {capacity} buffers have not come back");
    }
    tracing::info!(buffers = capacity, "packet pool balanced");
    Ok(())
}
