//! `net_tap`: frames to and from the kernel through an interface of our making.

mod common;

use common::{
    config, ethernet, frame,
    kernel::{Wire, enter_namespace, run},
};
use dpdk_ffi::{Burst, Eal, Pool, PoolConfig, Port, PortConfig, PortError, Sent, TxQueue};

#[test]
fn tap_passes_frames_both_ways() {
    if !enter_namespace() {
        return;
    }
    let eal = Eal::start(config()).expect("DPDK starts without huge pages");
    let pool = PoolConfig {
        mbufs: 4095,
        cache: 0,
        ..PoolConfig::default()
    };
    let pool = Pool::create(&eal, "tap", pool).expect("a pool");
    let id = eal.attach("net_tap0,iface=ffitap0").expect("attached");
    let wish = PortConfig {
        rx_queues: 2,
        tx_queues: 2,
        mtu: Some(1400),
        ..PortConfig::default()
    };
    let port = Port::open(&eal, id, wish, &pool).expect("opened");
    assert_eq!((port.info().rx_queues, port.info().tx_queues), (2, 2));
    assert!(port.info().offloads.tx_segments);
    port.start().expect("it starts");
    run("ip link set ffitap0 up");
    assert!(port.link().expect("state").up);
    assert_eq!(port.mtu().expect("read"), 1400);
    assert_eq!(interface_mtu(), "1400");
    port.set_mtu(1504).expect("it takes it while started");
    assert_eq!(interface_mtu(), "1504");
    // That is all in DPDK 22.11; 24.11 takes any.
    if let Some(more) = port.info().mtu.end().checked_add(1) {
        assert!(matches!(port.set_mtu(more), Err(PortError::Mtu { .. })));
    }
    port.set_mac([2, 0, 0, 0, 0, 9]).expect("it takes it");
    assert_eq!(port.mac().expect("read"), [2, 0, 0, 0, 0, 9]);
    let mut tx = port.take_tx_queue(0).expect("queue 0");

    let wire = Wire::open("ffitap0");
    to_the_kernel(&pool, &mut tx, &wire);
    from_the_kernel(&port, &wire);

    drop(tx);
    drop(port);
    assert_eq!(pool.in_use(), 0);
    // The interface went with the port.
    eal.attach("net_tap0,iface=ffitap0")
        .expect("both names are free again");
}

fn to_the_kernel(pool: &Pool, tx: &mut TxQueue, wire: &Wire) {
    for round in 0..50 {
        let mut burst = Burst::new();
        for number in 0..16 {
            let mbuf = frame(pool, &ethernet(round * 16 + number, 1000));
            // Every other one in two segments, the second shared.
            let mbuf = match number % 2 {
                0 => mbuf,
                _ => mbuf.replicate(pool, 60).expect("two mbufs"),
            };
            burst.push(mbuf).expect("room");
        }
        assert_eq!(
            tx.transmit_or_free(&mut burst),
            Sent {
                sent: 16,
                dropped: 0
            }
        );
        let expected: Vec<_> = (0..16)
            .map(|number| ethernet(round * 16 + number, 1000))
            .collect();
        assert_eq!(wire.receive_ours(16), expected);
    }
}

fn from_the_kernel(port: &Port, wire: &Wire) {
    // The kernel picks the queue by flow; all of ours are one flow to it, but which is its secret.
    let mut queues = [
        port.take_rx_queue(0).expect("queue 0"),
        port.take_rx_queue(1).expect("queue 1"),
    ];
    for round in 0..50 {
        let sent: Vec<_> = (0..16)
            .map(|number| ethernet(round * 16 + number, 1500))
            .collect();
        for frame in &sent {
            wire.send(frame);
        }
        let start = std::time::Instant::now();
        let mut seen = Vec::new();
        while seen.len() < sent.len() {
            assert!(
                start.elapsed().as_secs() < 5,
                "{} of {} came",
                seen.len(),
                sent.len()
            );
            for queue in &mut queues {
                let mut burst = Burst::new();
                queue.receive(&mut burst);
                seen.extend(
                    burst
                        .iter()
                        .map(common::bytes)
                        .filter(|frame| common::is_ours(frame)),
                );
            }
        }
        seen.sort();
        assert_eq!(seen, sent);
    }
    let stats = port.stats().expect("counters");
    assert!(
        stats.rx_packets >= 800 && stats.tx_packets >= 800,
        "{stats:?}"
    );
    // What comes in last is in a queue of the device when the port closes.
    wire.send(&ethernet(9, 60));
}

fn interface_mtu() -> String {
    let output = run("ip -oneline link show ffitap0");
    let mut words = output.split_whitespace().skip_while(|&word| word != "mtu");
    words.nth(1).expect("a number behind it").to_owned()
}
