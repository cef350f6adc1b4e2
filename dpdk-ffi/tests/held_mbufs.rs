//! A frame that outlives everything else keeps its memory.

mod common;

use std::sync::Mutex;

use common::{config, frame};
use dpdk_ffi::{Eal, EalConfig, LogLevel, Pool, PoolConfig};

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep(_: LogLevel, line: &str) {
    LOGGED.lock().expect("no panic").push(line.to_owned());
}

#[test]
fn memory_stays_while_a_frame_is_held() {
    let config = EalConfig {
        log_level: LogLevel::Warning,
        log_hook: Some(keep),
        ..config()
    };
    let eal = Eal::start(config).expect("DPDK starts without huge pages");
    let pool = Pool::create(
        &eal,
        "held",
        PoolConfig {
            cache: 0,
            ..PoolConfig::default()
        },
    );
    let pool = pool.expect("a pool");
    let mut held = frame(&pool, b"still here");
    let replica = frame(&pool, &[3; 500])
        .replicate(&pool, 10)
        .expect("two mbufs");
    drop((eal, pool));
    let logged = LOGGED.lock().expect("no panic").join("\n");
    assert!(logged.contains("4 mbufs are still in use"), "{logged}");
    assert_eq!(held.data(), b"still here");
    held.data_mut().expect("its own").fill(0);
    let reader = std::thread::spawn(move || replica.segment_data(1).map(<[u8]>::len));
    assert_eq!(reader.join().expect("no panic"), Some(490));
}
