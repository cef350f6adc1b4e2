//! Where DPDK's own log lines go, and which of them.

use std::{
    cell::RefCell,
    ffi::{c_char, c_int},
    fmt,
    io::Write,
    sync::OnceLock,
};

use crate::{EalError, sys};

/// Importance of a message of DPDK, as in `syslog(3)`; the least important comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u32)]
pub enum LogLevel {
    /// Cannot go on.
    Emergency = 1,
    /// Must be acted on at once.
    Alert,
    /// Something large is broken.
    Critical,
    /// Something failed.
    Error,
    /// Something is odd. The default: EAL's greetings are left out.
    #[default]
    Warning,
    /// Worth knowing.
    Notice,
    /// What it does.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    fn from_dpdk(level: u32) -> Self {
        match level {
            0 | 1 => Self::Emergency,
            2 => Self::Alert,
            3 => Self::Critical,
            4 => Self::Error,
            5 => Self::Warning,
            6 => Self::Notice,
            7 => Self::Info,
            _ => Self::Debug,
        }
    }
}

impl fmt::Display for LogLevel {
    /// The name `--log-level` takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Emergency => "emergency",
            Self::Alert => "alert",
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

/// Takes one message of DPDK, without its line end, on whichever thread wrote it. It must not
/// panic (the process would abort) and must not call into DPDK.
pub type LogHook = fn(LogLevel, &str);

static HOOK: OnceLock<LogHook> = OnceLock::new();

thread_local! {
    /// Errors that DPDK logged on this thread since [`listen`] began.
    static SAID: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Sends everything DPDK logs from now on to `hook`. Once per process.
pub(crate) fn redirect(hook: Option<LogHook>) -> Result<(), EalError> {
    HOOK.set(hook.unwrap_or(to_stderr))
        .map_err(|_| EalError::Log)?;
    // SAFETY: `sink` is a function, so it lives as long as the process. Called before
    // `rte_eal_init`, while no other thread logs.
    let code: c_int = unsafe { sys::shim_log_to(Some(sink)) };
    if code == 0 {
        Ok(())
    } else {
        Err(EalError::Log)
    }
}

/// Runs `call`, and returns with its result the errors that were logged meanwhile on this thread.
///
/// Most drivers return `-1` or a number of little meaning and say in the log what is wrong.
pub(crate) fn listen<T>(call: impl FnOnce() -> T) -> (T, Vec<String>) {
    SAID.set(Some(Vec::new()));
    let result = call();
    (result, SAID.take().unwrap_or_default())
}

fn to_stderr(_: LogLevel, line: &str) {
    // Not `eprintln!`, which panics when stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

extern "C" fn sink(level: u32, text: *const c_char, length: usize) {
    // SAFETY: the C library passes a buffer of `length` bytes that lives until we return.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    let text = String::from_utf8_lossy(bytes);
    let level = LogLevel::from_dpdk(level);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if level <= LogLevel::Error {
            remember(line);
        }
        if let Some(hook) = HOOK.get() {
            hook(level, line);
        }
    }
}

fn remember(line: &str) {
    // A thread that is ending logs too, when its locals are gone already.
    let _ = SAID.try_with(|said| {
        if let Ok(mut said) = said.try_borrow_mut()
            && let Some(said) = said.as_mut()
        {
            said.push(line.trim().to_owned());
        }
    });
}
