//! What the tests share: one DPDK for each test program, and a pool of its own for each test.
// Each test program uses some of it.
#![allow(dead_code)]

pub mod kernel;

use std::sync::OnceLock;

use dpdk_ffi::{Burst, Eal, EalConfig, LogLevel, Mbuf, Memory, Pool, PoolConfig, RxQueue};

/// A configuration that starts anywhere: ordinary pages, no PCI.
pub fn config() -> EalConfig {
    EalConfig {
        memory: Memory::NoHuge { mb: 128 },
        file_prefix: "dpdk-ffi-tests".into(),
        telemetry: false,
        log_level: LogLevel::Error,
        ..EalConfig::default()
    }
}

/// DPDK, started by whichever test comes first.
pub fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| Eal::start(config()).expect("DPDK starts without huge pages"))
}

/// A small pool without caches, so that its count is exact on any thread.
pub fn pool(name: &str) -> Pool {
    let config = PoolConfig {
        mbufs: 1023,
        cache: 0,
        ..PoolConfig::default()
    };
    Pool::create(eal(), name, config).expect("a pool of 1023 mbufs")
}

/// A frame with these bytes.
pub fn frame(pool: &Pool, bytes: &[u8]) -> Mbuf {
    let mut mbuf = pool.alloc().expect("an mbuf");
    mbuf.append(bytes.len())
        .expect("room for the frame")
        .copy_from_slice(bytes);
    mbuf
}

/// The bytes of all segments.
pub fn bytes(mbuf: &Mbuf) -> Vec<u8> {
    let mut all = vec![0; mbuf.frame_len()];
    assert!(
        mbuf.read_at(0, &mut all),
        "frame_len is the sum of the segments"
    );
    let joined: Vec<u8> = (0..mbuf.segments())
        .flat_map(|index| {
            mbuf.segment_data(index)
                .expect("as many as it says")
                .to_vec()
        })
        .collect();
    assert_eq!(joined, all, "segments and read_at agree");
    all
}

/// An Ethernet frame of a private EtherType (IEEE 802 local experimental 1), so that it cannot be
/// taken for what a kernel sends by itself.
pub fn ethernet(sequence: u16, length: usize) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, 0x88, 0xb5];
    frame.extend(sequence.to_be_bytes());
    frame.extend((frame.len()..length).map(|at| at as u8));
    frame
}

/// Whether it is one of ours, by EtherType.
pub fn is_ours(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x88, 0xb5])
}

/// Polls until `count` frames of ours have come; fails when they have not within five seconds.
pub fn receive_ours(rx: &mut RxQueue, count: usize) -> Vec<Vec<u8>> {
    let start = std::time::Instant::now();
    let mut frames = Vec::new();
    let mut burst = Burst::new();
    while frames.len() < count {
        assert!(
            start.elapsed().as_secs() < 5,
            "{} of {count} frames came",
            frames.len()
        );
        rx.receive(&mut burst);
        frames.extend(
            burst
                .drain()
                .map(|mbuf| bytes(&mbuf))
                .filter(|frame| is_ours(frame)),
        );
    }
    frames
}
