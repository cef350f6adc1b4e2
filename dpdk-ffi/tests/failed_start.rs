//! A start that fails says what DPDK said, and cannot be tried again.

mod common;

use common::config;
use dpdk_ffi::{Eal, EalConfig, EalError, LogLevel};

#[test]
fn a_failed_start_says_why_and_is_final() {
    let no_hook = Some((|_, _| ()) as fn(LogLevel, &str));
    let wrong = EalConfig {
        vdevs: vec!["net_nonsense0".into()],
        log_hook: no_hook,
        ..config()
    };
    let error = Eal::start(wrong).err().expect("there is no such device");
    assert!(
        matches!(&error, EalError::Init { reason, .. } if !reason.said().is_empty()),
        "{error}"
    );
    assert!(
        error.to_string().contains("--vdev=net_nonsense0"),
        "{error}"
    );
    let again = Eal::start(config()).err().expect("once per process");
    assert!(matches!(again, EalError::AlreadyStarted), "{again}");
}
