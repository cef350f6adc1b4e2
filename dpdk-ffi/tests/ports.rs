//! Ports that need no rights: null, ring and pcap. Traffic passes, and the pool is as full after
//! as before.

mod common;

use std::path::{Path, PathBuf};

use common::{bytes, eal, ethernet, frame, pool, receive_ours};
use dpdk_ffi::{Burst, EalError, Mbuf, Pool, PoolConfig, Port, PortConfig, PortError, Sent};

fn open(devargs: &str, config: PortConfig, pool: &Pool) -> Port {
    let id = eal().attach(devargs).expect("the device attaches");
    Port::open(eal(), id, config, pool).expect("the port opens")
}

/// A file of its own under the build's temporary folder, gone when dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A capture file (libpcap 2.4, little endian, Ethernet) of these frames.
fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let length = frame.len() as u32;
        for word in [0, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    std::fs::write(path, file).expect("the file can be written");
}

fn read_pcap(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).expect("the file can be read");
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while let Some((header, data)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(header[8..12].try_into().expect("four bytes")) as usize;
        let (frame, after) = data.split_at(length);
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}

#[test]
fn null_gives_frames_forever_and_takes_all() {
    let pool = pool("null");
    let port = open("net_null0,size=100", PortConfig::default(), &pool);
    assert_eq!(
        (&*port.info().name, &*port.info().driver),
        ("net_null0", "net_null")
    );
    port.start().expect("it starts");
    let mut rx = port.take_rx_queue(0).expect("queue 0");
    let mut tx = port.take_tx_queue(0).expect("queue 0");
    let mut burst = Burst::new();
    for _ in 0..1000 {
        assert_eq!(rx.receive(&mut burst), Burst::CAPACITY);
        assert!(burst.iter().all(|mbuf| mbuf.frame_len() == 100));
        assert!(burst.iter().all(|mbuf| mbuf.port() == Some(port.id())));
        assert_eq!(rx.receive(&mut burst), 0, "no room");
        assert_eq!(tx.transmit(&mut burst), Burst::CAPACITY);
        assert!(burst.is_empty());
    }
    let stats = port.stats().expect("counters");
    assert_eq!((stats.rx_packets, stats.tx_packets), (64_000, 64_000));
    let xstats = port.xstats().expect("counters");
    assert!(
        xstats.contains(&("rx_good_packets".into(), 64_000)),
        "{xstats:?}"
    );
    drop((rx, tx, port));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn ring_returns_frames_in_order_and_frees_what_is_left_in_it() {
    let pool = pool("ring");
    let port = open("net_ring0", PortConfig::default(), &pool);
    port.start().expect("it starts");
    assert!(port.link().expect("state").up);
    let mut rx = port.take_rx_queue(0).expect("queue 0");
    let mut tx = port.take_tx_queue(0).expect("queue 0");
    for round in 0..200 {
        let mut burst = Burst::new();
        for number in 0..50 {
            burst
                .push(frame(&pool, &ethernet(round * 50 + number, 60)))
                .expect("room");
        }
        assert_eq!(
            tx.transmit_or_free(&mut burst),
            Sent {
                sent: 50,
                dropped: 0
            }
        );
        let expected: Vec<_> = (0..50)
            .map(|number| ethernet(round * 50 + number, 60))
            .collect();
        assert_eq!(receive_ours(&mut rx, 50), expected);
    }
    assert_eq!(pool.in_use(), 0);

    // More than the ring takes, which is 1023.
    let large = PoolConfig {
        mbufs: 2047,
        cache: 0,
        ..PoolConfig::default()
    };
    let large = Pool::create(eal(), "ring_large", large).expect("a pool");
    let mut total = Sent::default();
    for _ in 0..20 {
        let mut burst = Burst::new();
        while burst.push(frame(&large, &ethernet(0, 60))).is_ok() {}
        let Sent { sent, dropped } = tx.transmit_or_free(&mut burst);
        assert!(burst.is_empty());
        total = Sent {
            sent: total.sent + sent,
            dropped: total.dropped + dropped,
        };
    }
    assert_eq!(
        total,
        Sent {
            sent: 1023,
            dropped: 20 * 64 - 1023
        }
    );
    assert_eq!(large.in_use(), 1023);
    let mut burst = Burst::new();
    while rx.receive(&mut burst) > 0 {
        burst.clear();
    }
    drop((rx, tx, port));
    assert_eq!((pool.in_use(), large.in_use()), (0, 0));
}

#[test]
fn frames_of_several_segments_are_made_one_where_they_cannot_be_sent() {
    let pool = pool("joined");
    let output = File::new("ports_joined.pcap");
    let devargs = format!("net_pcap2,tx_pcap={output}");
    let config = PortConfig {
        tx_segments: false,
        ..PortConfig::default()
    };
    let port = open(&devargs, config, &pool);
    assert!(!port.info().offloads.tx_segments);
    port.start().expect("it starts");
    let mut tx = port.take_tx_queue(0).expect("queue 0");

    let original = frame(&pool, &ethernet(1, 800));
    let replica = original.replicate(&pool, 40).expect("two mbufs");
    // Its first segment has other users, so it cannot be made one.
    let stuck = frame(&pool, &ethernet(2, 800))
        .replicate(&pool, 40)
        .expect("two mbufs");
    let holder = stuck.replicate(&pool, 0).expect("three mbufs");
    let mut burst = Burst::new();
    burst.push(replica).expect("room");
    burst.push(stuck).expect("room");
    burst.push(original).expect("room");
    assert_eq!(
        tx.transmit_or_free(&mut burst),
        Sent {
            sent: 2,
            dropped: 1
        }
    );
    assert_eq!(tx.unsendable(), 1);
    drop((holder, tx, port));
    assert_eq!(read_pcap(&output.0), [ethernet(1, 800), ethernet(1, 800)]);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn ring_passes_frames_of_several_segments_as_they_are() {
    let pool = pool("chained");
    let port = open("net_ring1", PortConfig::default(), &pool);
    assert!(port.info().offloads.tx_segments);
    port.start().expect("it starts");
    let mut rx = port.take_rx_queue(0).expect("queue 0");
    let mut tx = port.take_tx_queue(0).expect("queue 0");
    let mut burst = Burst::new();
    let replica = frame(&pool, &ethernet(1, 800))
        .replicate(&pool, 40)
        .expect("two mbufs");
    burst.push(replica).expect("room");
    assert_eq!(tx.transmit(&mut burst), 1);
    assert_eq!(rx.receive(&mut burst), 1);
    assert!(
        burst
            .iter()
            .all(|mbuf| mbuf.segments() == 2 && bytes(mbuf) == ethernet(1, 800))
    );
    drop((burst, rx, tx, port));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn pcap_plays_a_file_and_writes_one() {
    let pool = pool("pcap");
    let (input, output) = (File::new("ports_in.pcap"), File::new("ports_out.pcap"));
    let frames: Vec<_> = (0..500)
        .map(|number| ethernet(number, 60 + usize::from(number)))
        .collect();
    write_pcap(&input.0, &frames);
    let devargs = format!("net_pcap0,rx_pcap={input},tx_pcap={output}");
    let port = open(&devargs, PortConfig::default(), &pool);
    port.start().expect("it starts");
    let mut rx = port.take_rx_queue(0).expect("queue 0");
    let mut tx = port.take_tx_queue(0).expect("queue 0");
    let mut burst = Burst::new();
    let mut seen = Vec::new();
    while rx.receive(&mut burst) > 0 {
        seen.extend(burst.iter().map(bytes));
        // Half of them as replicas, which this driver writes whatever their segments.
        for mbuf in burst.as_mut_slice().iter_mut().step_by(2) {
            let replica = mbuf.replicate(&pool, 34).expect("two mbufs");
            *mbuf = replica;
        }
        let count = burst.len();
        assert_eq!(
            tx.transmit_or_free(&mut burst),
            Sent {
                sent: count,
                dropped: 0
            }
        );
    }
    assert_eq!(seen, frames);
    drop((rx, tx));
    port.stop().expect("no queue is out");
    drop(port);
    assert_eq!(read_pcap(&output.0), frames);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn pcap_plays_a_small_file_forever() {
    let pool = pool("infinite");
    let input = File::new("ports_infinite.pcap");
    let frames: Vec<_> = (0..10).map(|number| ethernet(number, 100)).collect();
    write_pcap(&input.0, &frames);
    let devargs = format!("net_pcap1,rx_pcap={input},infinite_rx=1");
    let port = open(&devargs, PortConfig::default(), &pool);
    port.start().expect("it starts");
    let mut rx = port.take_rx_queue(0).expect("queue 0");
    for expected in frames
        .iter()
        .cycle()
        .take(1000)
        .collect::<Vec<_>>()
        .chunks(50)
    {
        // A burst may carry more than is asked for here, but a multiple of the file in all.
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            let mut burst = Burst::new();
            for _ in 0..Burst::CAPACITY - 10 {
                burst.push(pool.alloc().expect("an mbuf")).expect("room");
            }
            rx.receive(&mut burst);
            seen.extend(
                burst
                    .drain()
                    .skip(Burst::CAPACITY - 10)
                    .map(|mbuf| bytes(&mbuf)),
            );
        }
        assert!(
            seen.iter().eq(expected.iter().copied()),
            "the file, again and again"
        );
    }
    drop((rx, port));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_bad_device_is_an_error_that_names_it() {
    let missing = File::new("does_not_exist.pcap");
    for devargs in [
        "net_nonsense0".to_owned(),
        "net_null7,colour=blue".to_owned(),
        format!("net_pcap7,rx_pcap={missing}"),
    ] {
        let error = eal().attach(&devargs).expect_err("refused");
        assert!(matches!(error, EalError::Attach { .. }), "{error}");
        assert!(error.to_string().contains(&devargs), "{error}");
    }
    assert!(matches!(eal().attach("net_null\0"), Err(EalError::Text(_))));
}

#[test]
fn a_device_is_attached_and_opened_once_and_can_come_back() {
    let pool = pool("once");
    let id = eal().attach("net_null1").expect("attached");
    assert_eq!(eal().find_port("net_null1"), Some(id));
    assert!(eal().ports().contains(&id));
    let error = eal().attach("net_null1").expect_err("it is there already");
    assert!(
        matches!(error, EalError::AlreadyAttached { port, .. } if port == id),
        "{error}"
    );
    eal().detach(id).expect("not open");
    assert_eq!(eal().find_port("net_null1"), None);
    assert!(matches!(
        Port::open(eal(), id, PortConfig::default(), &pool),
        Err(PortError::Unknown(_)) | Ok(_) // another test's device may have taken the number
    ));

    let id = eal().attach("net_null1").expect("attached again");
    let port = Port::open(eal(), id, PortConfig::default(), &pool).expect("opened");
    let again = Port::open(eal(), id, PortConfig::default(), &pool);
    assert!(matches!(again, Err(PortError::AlreadyOpen(_))));
    assert!(matches!(eal().detach(id), Err(EalError::PortOpen { .. })));
    drop(port);
    assert_eq!(
        eal().find_port("net_null1"),
        None,
        "its device went with it"
    );
    drop(open("net_null1", PortConfig::default(), &pool));
}

#[test]
fn queues_are_clamped_taken_once_and_given_back() {
    let pool = pool("queues");
    let config = PortConfig {
        rx_queues: 4,
        tx_queues: 2,
        ..PortConfig::default()
    };
    let port = open("net_ring2", config, &pool);
    let info = port.info();
    assert!(
        info.rx_queues <= 4 && info.rx_queues <= info.max_rx_queues,
        "{info:?}"
    );
    assert!(matches!(
        port.take_rx_queue(0),
        Err(PortError::NotStarted(_))
    ));
    port.start().expect("it starts");
    port.start().expect("twice does nothing");
    let rx = port.take_rx_queue(0).expect("queue 0");
    assert!(matches!(
        port.take_rx_queue(0),
        Err(PortError::QueueTaken { queue: 0, .. })
    ));
    let error = port.take_tx_queue(info.tx_queues).err().expect("too many");
    assert!(matches!(error, PortError::NoSuchQueue { .. }), "{error}");
    assert!(matches!(
        port.stop(),
        Err(PortError::QueuesInUse { taken: 1, .. })
    ));
    drop(rx);
    port.stop().expect("none is out");
    port.stop().expect("twice does nothing");
    assert!(matches!(
        port.take_rx_queue(0),
        Err(PortError::NotStarted(_))
    ));
    port.start().expect("it starts again");
    drop(port.take_rx_queue(0).expect("queue 0 again"));
    drop(port);

    let none = PortConfig {
        rx_queues: 0,
        ..PortConfig::default()
    };
    let id = eal().attach("net_ring3").expect("attached");
    assert!(matches!(
        Port::open(eal(), id, none, &pool),
        Err(PortError::NoQueues { .. })
    ));
    eal()
        .detach(id)
        .expect("a port that failed to open is not open");
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn queues_keep_a_dropped_port_open() {
    let pool = pool("outstanding");
    let port = open("net_null2", PortConfig::default(), &pool);
    let id = port.id();
    port.start().expect("it starts");
    let mut rx = port.take_rx_queue(0).expect("queue 0");
    let mut tx = port.take_tx_queue(0).expect("queue 0");
    drop(port);
    let again = Port::open(eal(), id, PortConfig::default(), &pool);
    assert!(matches!(again, Err(PortError::AlreadyOpen(_))));
    let poller = std::thread::spawn(move || {
        let mut burst = Burst::new();
        assert_eq!(rx.receive(&mut burst), Burst::CAPACITY);
        assert_eq!(tx.transmit(&mut burst), Burst::CAPACITY);
    });
    poller
        .join()
        .expect("both queues still work, on another thread, and close the port");
    assert_eq!(eal().find_port("net_null2"), None);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn an_mtu_the_device_does_not_take_is_refused() {
    let pool = pool("mtu");
    let id = eal().attach("net_null3").expect("attached");
    let config = PortConfig {
        mtu: Some(20),
        ..PortConfig::default()
    };
    let error = Port::open(eal(), id, config, &pool).err().expect("refused");
    assert!(matches!(error, PortError::Mtu { mtu: 20, .. }), "{error}");
    assert!(error.to_string().contains("net_null3"), "{error}");
    let config = PortConfig {
        mtu: Some(1600),
        ..PortConfig::default()
    };
    let port = Port::open(eal(), id, config, &pool).expect("opened");
    assert_eq!(port.mtu().expect("read"), 1600);
    assert!(matches!(port.set_mtu(20), Err(PortError::Mtu { .. })));
    assert_eq!(port.mac().expect("read"), port.info().mac);
}

#[test]
fn mbufs_of_a_closed_port_are_still_good() {
    let pool = pool("late");
    let port = open("net_null4,size=200", PortConfig::default(), &pool);
    port.start().expect("it starts");
    let mut burst = Burst::new();
    assert_eq!(
        port.take_rx_queue(0).expect("queue 0").receive(&mut burst),
        Burst::CAPACITY
    );
    drop(port);
    let kept: Vec<Mbuf> = burst.drain().collect();
    assert!(kept.iter().all(|mbuf| mbuf.data().len() == 200));
    drop(kept);
    assert_eq!(pool.in_use(), 0);
}
