//! The environment abstraction layer: DPDK's start and end, its devices and its threads.
//!
//! DPDK is global to a process and can be started once. [`Eal`] and everything made from it share
//! one reference count: DPDK ends when the last of them is dropped, whatever the order.
//!
//! `rte_eal_init` pins the thread that calls it to the main core for good, so it runs on a thread
//! of its own that ends afterwards: the caller's affinity stays what it was, and *no* thread of the
//! process counts as one of DPDK's cores until it asks for that by [`Eal::register_worker`].

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString, c_char, c_int},
    path::PathBuf,
    ptr::NonNull,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    EalError, LogHook, LogLevel, PortId,
    error::{Errno, Reason, c_string},
    log, sys,
};

/// Where DPDK takes its memory from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// The kernel's huge pages, taken when needed.
    HugePages {
        /// The most DPDK may take on each NUMA node, in MiB.
        limit_mb: Option<u32>,
    },
    /// Ordinary pages: needs no setup and no rights, costs TLB misses, and no PCI device can use it
    /// unless an IOMMU translates for it.
    NoHuge {
        /// All that DPDK will ever have, in MiB; taken at once.
        mb: u32,
    },
}

impl Memory {
    /// Follows the reason for which DPDK did not start.
    fn hint(self) -> &'static str {
        match self {
            Self::HugePages { .. } => {
                "; without huge pages reserve some (sysctl vm.nr_hugepages=512) or use ordinary memory"
            }
            Self::NoHuge { .. } => "",
        }
    }
}

/// How DPDK starts.
#[derive(Clone, Debug)]
pub struct EalConfig {
    /// Huge pages without a limit, unless set.
    pub memory: Memory,
    /// PCI addresses (`0000:3b:00.0`) or other non-virtual devices to drive; with none, the PCI bus
    /// is not even scanned, so DPDK cannot take a NIC by accident.
    pub devices: Vec<String>,
    /// Virtual devices made at start. Prefer [`Eal::attach`], whose error names the device.
    pub vdevs: Vec<String>,
    /// The core for DPDK's own threads (interrupts, telemetry), which mostly sleep. Without one
    /// they float over the cores of the thread that calls [`Eal::start`].
    pub main_core: Option<u32>,
    /// Tells the runtime folders (telemetry socket) of several processes apart.
    pub file_prefix: String,
    /// What of DPDK's log is kept.
    pub log_level: LogLevel,
    /// Takes DPDK's log; without one it goes to stderr (and before 23.11 to syslog too).
    pub log_hook: Option<LogHook>,
    /// Serve `dpdk-telemetry.py`: see [`Eal::telemetry_socket`].
    pub telemetry: bool,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            memory: Memory::HugePages { limit_mb: None },
            devices: Vec::new(),
            vdevs: Vec::new(),
            main_core: None,
            file_prefix: "vtepd".into(),
            log_level: LogLevel::default(),
            log_hook: None,
            telemetry: true,
        }
    }
}

impl EalConfig {
    /// The EAL command line, program name first.
    fn arguments(&self, main_core: u32) -> Vec<String> {
        let mut arguments = vec![
            self.file_prefix.clone(), // argv[0]: the name in syslog
            "--iova-mode=va".into(),
            format!("--file-prefix={}", self.file_prefix),
            // One logical core only: the others belong to threads that register themselves.
            format!("--lcores=0@{main_core}"),
            format!("--log-level={}", self.log_level),
            // Each library has a level of its own too, mostly "notice".
            format!("--log-level=*:{}", self.log_level),
        ];
        match self.memory {
            Memory::NoHuge { mb } => {
                // `--no-huge` implies legacy memory, which refuses `--in-memory`; what is left of
                // that without huge pages is to write no shared configuration.
                arguments.extend(["--no-huge".into(), "--no-shconf".into()]);
                arguments.extend(["-m".into(), mb.to_string()]);
            }
            Memory::HugePages { limit_mb } => {
                arguments.push("--in-memory".into());
                if let Some(mb) = limit_mb {
                    let limits = vec![mb.to_string(); numa_nodes()];
                    arguments.push(format!("--socket-limit={}", limits.join(",")));
                }
            }
        }
        if self.devices.is_empty() {
            arguments.push("--no-pci".into());
        }
        for device in &self.devices {
            arguments.extend(["-a".into(), device.clone()]);
        }
        arguments.extend(self.vdevs.iter().map(|vdev| format!("--vdev={vdev}")));
        arguments.push(
            if self.telemetry {
                "--telemetry"
            } else {
                "--no-telemetry"
            }
            .into(),
        );
        arguments
    }
}

/// DPDK, running. Cheap to clone; DPDK ends with the last clone, pool, port, queue, ring and
/// [`WorkerThread`](crate::WorkerThread).
#[derive(Clone)]
pub struct Eal(pub(crate) Arc<Running>);

/// EAL's command line, as long as the process lives.
static ARGUMENTS: OnceLock<Arguments> = OnceLock::new();

struct Arguments(*mut [*mut c_char]);

// SAFETY: it is kept, and read by EAL alone.
unsafe impl Send for Arguments {}
// SAFETY: as above.
unsafe impl Sync for Arguments {}

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts DPDK. Once per process: a second call is an error, also after the first one failed.
    pub fn start(config: EalConfig) -> Result<Self, EalError> {
        let main_core = match config.main_core {
            Some(core) => core,
            None => first_allowed_core().map_err(EalError::Affinity)?,
        };
        let arguments = config.arguments(main_core);
        let argv = arguments
            .iter()
            .map(|argument| c_string(argument).map_err(EalError::Text))
            .collect::<Result<Vec<CString>, EalError>>()?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        log::redirect(config.log_hook)?;
        remove_runtime_dir_at_exit();
        let pin = config.main_core;
        std::thread::Builder::new()
            .name("dpdk-init".into())
            .spawn(move || init(argv, pin))
            .map_err(EalError::Thread)?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?
            .map_err(|reason| EalError::Init {
                arguments: arguments.join(" "),
                reason,
                hint: config.memory.hint(),
            })?;
        Ok(Self(Arc::new(Running {
            registry: Mutex::default(),
            telemetry: config.telemetry,
        })))
    }

    /// DPDK's version, as in "DPDK 22.11.11".
    pub fn version(&self) -> String {
        // SAFETY: returns a static string.
        unsafe { owned_string(sys::rte_version()) }
    }

    /// Makes a device and returns its port: a PCI address (`0000:3b:00.0`), or a virtual device
    /// with its arguments (`net_tap0,iface=dtap0`). Of a device with several ports, the first;
    /// [`ports`](Self::ports) has them all. A device that is there already is an error.
    pub fn attach(&self, devargs: &str) -> Result<PortId, EalError> {
        let text = c_string(devargs).map_err(EalError::Text)?;
        let _registry = self.0.registry();
        // DPDK takes a second probe for a success and ignores its arguments.
        let name = devargs.split(',').next().unwrap_or(devargs);
        if let Some(port) = port_by_name(name) {
            return Err(EalError::AlreadyAttached {
                devargs: devargs.into(),
                port,
            });
        }
        let before = every_port();
        // SAFETY: a NUL-terminated string that outlives the call; hot-plug calls are serialised by
        // the registry lock.
        Reason::check(|| unsafe { sys::rte_dev_probe(text.as_ptr()) }).map_err(|reason| {
            EalError::Attach {
                devargs: devargs.into(),
                reason,
            }
        })?;
        every_port()
            .into_iter()
            .find(|port| !before.contains(port))
            .ok_or_else(|| EalError::NoPort {
                devargs: devargs.into(),
            })
    }

    /// Removes the device of a port that is not open. Dropping a [`Port`](crate::Port) removes its
    /// device too.
    pub fn detach(&self, port: PortId) -> Result<(), EalError> {
        let registry = self.0.registry();
        let detach = |reason| EalError::Detach { port, reason };
        let device = device_of(port).map_err(|errno| detach(errno.into()))?;
        // A device may have several ports, and goes with all of them.
        if let Some(port) = ports_of(device)
            .into_iter()
            .find(|port| registry.open_ports.contains(&port.0))
        {
            return Err(EalError::PortOpen { port });
        }
        // SAFETY: the device was found under the registry lock, and none of its ports is open.
        Reason::check(|| unsafe { sys::rte_dev_remove(device.as_ptr()) }).map_err(detach)
    }

    /// Every port there is, open or not.
    pub fn ports(&self) -> Vec<PortId> {
        let _registry = self.0.registry();
        every_port()
    }

    /// The port with this name: that of its virtual device, or its PCI address.
    pub fn find_port(&self, name: &str) -> Option<PortId> {
        let _registry = self.0.registry();
        port_by_name(name)
    }

    /// The folder DPDK keeps its sockets in, such as `/var/run/dpdk/vtepd`, or under
    /// `$XDG_RUNTIME_DIR` for other users than root.
    pub fn runtime_dir(&self) -> PathBuf {
        runtime_dir()
    }

    /// The socket of `dpdk-telemetry.py`, when telemetry is on and could be started.
    pub fn telemetry_socket(&self) -> Option<PathBuf> {
        let socket = self.runtime_dir().join("dpdk_telemetry.v2");
        (self.0.telemetry && socket.exists()).then_some(socket)
    }

    /// Makes the calling thread one of DPDK's logical cores until the result is dropped, so that it
    /// has caches of its own in front of the pools. Without it everything works, but each mbuf
    /// comes from and goes to the pool's shared ring.
    ///
    /// Pin the thread first: DPDK notes its NUMA node here.
    pub fn register_worker(&self) -> Result<crate::WorkerThread, EalError> {
        crate::WorkerThread::register(self)
    }
}

/// DPDK between its start and its end.
pub(crate) struct Running {
    registry: Mutex<Registry>,
    telemetry: bool,
}

/// What must be known of the whole process. Its lock also serialises hot-plug and DPDK's table of
/// ports.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) open_ports: BTreeSet<u16>,
    /// Every pool ever made, and its size. Never freed before DPDK's end: see [`crate::Pool`].
    pub(crate) pools: Vec<(PoolPointer, u32)>,
}

/// A pool of the registry.
pub(crate) struct PoolPointer(pub(crate) NonNull<sys::rte_mempool>);

// SAFETY: a mempool may be asked from any thread.
unsafe impl Send for PoolPointer {}

impl Running {
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic while it was held leaves at worst a port that cannot be opened again.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    /// Ends DPDK, unless someone still holds an mbuf: its memory must not go, so DPDK is left
    /// as it is until the process exits.
    ///
    /// The count cannot lie here. No port, queue, ring or pool handle is left, so no mbuf can be
    /// made any more. No registered thread is left, so none uses a pool cache: what is still out
    /// comes back by the pool's ring, which counts it only when the freeing thread is done with the
    /// pool.
    fn drop(&mut self) {
        let registry = self
            .registry
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let held: u32 = registry
            .pools
            .iter()
            // SAFETY: pools live until the clean-up below.
            .map(|(pool, size)| size - unsafe { sys::rte_mempool_avail_count(pool.0.as_ptr()) })
            .sum();
        if held > 0 {
            let text = format!(
                "{held} mbufs are still in use: DPDK's memory is kept until the process ends"
            );
            if let Ok(text) = CString::new(text) {
                // SAFETY: a NUL-terminated string that outlives the call.
                unsafe { sys::shim_log_warning(text.as_ptr()) };
            }
            return;
        }
        // SAFETY: everything that points into DPDK's memory holds a count on `self`, except
        // mbufs, and there are none. An error (never initialised) cannot happen.
        unsafe { sys::rte_eal_cleanup() };
    }
}

/// Runs on its own thread, which `rte_eal_init` may pin as it likes.
fn init(argv: Vec<CString>, pin: Option<u32>) -> Result<Result<(), Reason>, EalError> {
    if let Some(core) = pin {
        // DPDK gives its control threads the affinity found here.
        pin_to(core).map_err(|reason| EalError::MainCore { core, reason })?;
    }
    // EAL permutes this array and keeps pointers into it, so it is never freed.
    let argv = ARGUMENTS.get_or_init(|| {
        let pointers = argv
            .into_iter()
            .map(CString::into_raw)
            .chain([std::ptr::null_mut()]);
        Arguments(Box::leak(pointers.collect()))
    });
    let count = (argv.0.len() - 1) as c_int;
    // SAFETY: a C argument vector with its final null, never freed. `STARTED` keeps it to one call.
    let call = || unsafe { sys::rte_eal_init(count, argv.0.cast()) };
    let (code, said) = log::listen(call);
    if code < 0 {
        return Ok(Err(Reason::new(Errno::last(), said)));
    }
    // This thread is the main logical core to DPDK. It ends now, so it gives that up.
    // SAFETY: called on an initialised EAL; clears this thread's core number.
    unsafe { sys::rte_thread_unregister() };
    Ok(Ok(()))
}

/// While DPDK runs.
fn runtime_dir() -> PathBuf {
    // SAFETY: returns a static buffer, filled when DPDK started.
    PathBuf::from(unsafe { owned_string(sys::rte_eal_get_runtime_dir()) })
}

/// Has the runtime folder, which DPDK leaves behind, removed when the process exits: that is when
/// DPDK removes its telemetry socket from it, and before that if this is called before it starts.
fn remove_runtime_dir_at_exit() {
    extern "C" fn remove() {
        // Not empty when another process has the same prefix; then it stays.
        let _ = std::fs::remove_dir(runtime_dir());
    }
    // SAFETY: a function without arguments that does not unwind. It reads a static buffer, empty
    // unless DPDK started. Without memory for it the folder stays.
    unsafe { libc::atexit(remove) };
}

/// Call it under the registry lock.
fn port_by_name(name: &str) -> Option<PortId> {
    let name = c_string(name).ok()?;
    let mut id = 0;
    // SAFETY: a NUL-terminated string and a place for the answer, both alive during the call.
    let code = unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut id) };
    (code == 0).then_some(PortId(id))
}

/// Call it under the registry lock.
fn every_port() -> Vec<PortId> {
    // SAFETY: reads the table of ports, which changes under the registry lock only.
    all_ports(|from| unsafe { sys::rte_eth_find_next(from) })
}

/// The device behind a port. Call it, and use the answer, under the registry lock.
pub(crate) fn device_of(port: PortId) -> Result<NonNull<sys::rte_device>, Errno> {
    let mut info = sys::rte_eth_dev_info::default();
    // SAFETY: fills `info`; an unknown port is an error.
    Errno::check(unsafe { sys::rte_eth_dev_info_get(port.0, &mut info) })?;
    NonNull::new(info.device).ok_or(Errno::NO_DEVICE)
}

/// The ports of a device. Call it under the registry lock.
pub(crate) fn ports_of(device: NonNull<sys::rte_device>) -> Vec<PortId> {
    // SAFETY: reads the table of ports, which changes under the registry lock only. The device is
    // only compared with.
    all_ports(|from| unsafe { sys::rte_eth_find_next_of(from, device.as_ptr()) })
}

/// Ports by a function that finds the first one at or after a number.
fn all_ports(find: impl Fn(u16) -> u16) -> Vec<PortId> {
    std::iter::successors(Some(find(0)), |&port| Some(find(port + 1)))
        .take_while(|&port| port < sys::SHIM_MAX_ETHPORTS)
        .map(PortId)
        .collect()
}

/// # Safety
/// `text` is a NUL-terminated string that does not change during the call.
pub(crate) unsafe fn owned_string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as this function requires.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

fn numa_nodes() -> usize {
    let nodes = std::fs::read_dir("/sys/devices/system/node")
        .into_iter()
        .flatten()
        .flatten();
    let is_node = |name: &str| {
        name.strip_prefix("node")
            .is_some_and(|n| n.parse::<u32>().is_ok())
    };
    nodes
        .filter(|entry| entry.file_name().to_str().is_some_and(is_node))
        .count()
        .max(1)
}

fn first_allowed_core() -> std::io::Result<u32> {
    // SAFETY: a set of bits, for which zero is a value, filled by the kernel.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        set
    };
    (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the index is below the size of the set.
        .find(|&core| unsafe { libc::CPU_ISSET(core, &set) })
        .map(|core| core as u32)
        .ok_or_else(|| std::io::Error::other("the affinity mask is empty"))
}

fn pin_to(core: u32) -> std::io::Result<()> {
    if core >= libc::CPU_SETSIZE as u32 {
        return Err(std::io::Error::other("no such core"));
    }
    // SAFETY: a set of bits with one of them set, within its size, read by the kernel.
    let code = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if code == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
