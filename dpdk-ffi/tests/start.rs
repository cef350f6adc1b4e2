//! DPDK starts once, leaves its caller as it was, and ends with the last thing made from it.

mod common;

use std::{os::fd::FromRawFd, path::Path, sync::Mutex};

use common::config;
use dpdk_ffi::{
    Burst, Eal, EalConfig, EalError, LogLevel, Pool, PoolConfig, Port, PortConfig, rdtsc, tsc_hz,
};

static LOGGED: Mutex<Vec<(LogLevel, String)>> = Mutex::new(Vec::new());

fn keep(level: LogLevel, line: &str) {
    LOGGED
        .lock()
        .expect("no panic")
        .push((level, line.to_owned()));
}

/// The cores of the calling thread, as the kernel lists them.
fn allowed_cores() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("a file of the kernel");
    let line = status
        .lines()
        .find(|line| line.starts_with("Cpus_allowed_list"));
    line.expect("a line of the kernel").to_owned()
}

/// What a telemetry socket says first: a line of JSON about the process.
fn greeting(socket: &Path) -> String {
    // SAFETY: makes a socket, which `OwnedFd` closes; the address is a plain struct of its size.
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        let mut file = std::fs::File::from_raw_fd(fd);
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let path = socket.to_str().expect("ASCII").bytes();
        for (into, from) in address.sun_path.iter_mut().zip(path) {
            *into = from as libc::c_char;
        }
        let size = size_of::<libc::sockaddr_un>() as libc::socklen_t;
        let code = libc::connect(fd, (&raw const address).cast(), size);
        assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
        let mut answer = [0; 1024];
        let length = std::io::Read::read(&mut file, &mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }
}

// One test, since there is one start: each part builds on the one before.
#[test]
fn from_start_to_end() {
    let cores = allowed_cores();
    assert!(matches!(
        Eal::start(EalConfig {
            file_prefix: "a\0b".into(),
            ..config()
        }),
        Err(EalError::Text(_))
    ));
    let eal = Eal::start(EalConfig {
        telemetry: true,
        file_prefix: "dpdk-ffi-start".into(),
        log_level: LogLevel::Info,
        log_hook: Some(keep),
        main_core: Some(0),
        ..config()
    })
    .expect("DPDK starts without huge pages");
    assert_eq!(allowed_cores(), cores, "the caller is not pinned");
    assert!(eal.version().starts_with("DPDK 2"), "{}", eal.version());
    let again = Eal::start(config()).err().expect("refused");
    assert!(matches!(again, EalError::AlreadyStarted), "{again}");

    the_log_goes_to_the_hook();
    the_clock_runs(&eal);
    telemetry_answers(&eal);
    registered_threads_have_a_cache(&eal);
    dpdk_ends_with_the_last_of_its_things(eal);

    let again = Eal::start(config())
        .err()
        .expect("refused, also after the end");
    assert!(matches!(again, EalError::AlreadyStarted), "{again}");
}

fn the_log_goes_to_the_hook() {
    let logged = LOGGED.lock().expect("no panic");
    assert!(
        logged
            .iter()
            .any(|(_, line)| line.starts_with("EAL: Detected")),
        "{logged:?}"
    );
    assert!(
        logged
            .iter()
            .all(|(level, line)| *level <= LogLevel::Info && !line.contains('\n'))
    );
}

fn the_clock_runs(eal: &Eal) {
    let hz = tsc_hz(eal);
    assert!(hz > 100_000_000, "{hz}");
    let (before, start) = (rdtsc(), std::time::Instant::now());
    while start.elapsed().as_millis() < 20 {
        std::hint::spin_loop();
    }
    let ticks = rdtsc() - before;
    assert!(ticks >= hz / 51, "{ticks} ticks of {hz} a second in 20 ms");
}

fn telemetry_answers(eal: &Eal) {
    let socket = eal.telemetry_socket().expect("telemetry is on");
    assert!(socket.starts_with(eal.runtime_dir()));
    let greeting = greeting(&socket);
    assert!(
        greeting.contains(&format!("\"pid\":{}", std::process::id())),
        "{greeting}"
    );
}

fn registered_threads_have_a_cache(eal: &Eal) {
    let config = PoolConfig {
        mbufs: 1023,
        cache: 256,
        ..PoolConfig::default()
    };
    let pool = Pool::create(eal, "cached", config).expect("a pool");
    let worker = eal.register_worker().expect("a core is free");
    assert!(matches!(
        eal.register_worker(),
        Err(EalError::AlreadyRegistered)
    ));
    drop(pool.alloc());
    // Cached: this thread's 256 are not in the shared ring, so one that has no cache finds fewer.
    let found = std::thread::scope(|scope| {
        let all = scope.spawn(|| {
            std::iter::from_fn(|| pool.alloc())
                .collect::<Vec<_>>()
                .len()
        });
        all.join().expect("no panic")
    });
    assert!(found < 1023, "{found}");
    assert_eq!(pool.in_use(), 0);
    drop(worker);
    let cores: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| drop(eal.register_worker().expect("given back"))))
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    assert!(cores.iter().all(Result::is_ok));
}

fn dpdk_ends_with_the_last_of_its_things(eal: Eal) {
    let runtime_dir = eal.runtime_dir();
    let pool = Pool::create(
        &eal,
        "last",
        PoolConfig {
            cache: 0,
            ..PoolConfig::default()
        },
    );
    let pool = pool.expect("a pool");
    let id = eal.attach("net_null0").expect("attached");
    let port = Port::open(&eal, id, PortConfig::default(), &pool).expect("opened");
    drop(eal);
    port.start().expect("DPDK runs on");
    let mut rx = port.take_rx_queue(0).expect("queue 0");
    drop(port);
    let mut burst = Burst::new();
    assert_eq!(rx.receive(&mut burst), Burst::CAPACITY);
    drop(burst);
    assert_eq!(pool.in_use(), 0);
    drop(pool);
    assert!(runtime_dir.exists());
    LOGGED.lock().expect("no panic").clear();
    drop(rx);
    let logged = LOGGED.lock().expect("no panic");
    assert!(
        logged
            .iter()
            .all(|(_, line)| !line.contains("still in use")),
        "{logged:?}"
    );
}
