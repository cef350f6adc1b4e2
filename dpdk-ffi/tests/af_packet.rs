//! `net_af_packet`: frames to and from one end of a veth pair, a kernel's socket at the other.

mod common;

use common::{
    bytes, config, ethernet, frame,
    kernel::{Wire, enter_namespace, run},
    receive_ours,
};
use dpdk_ffi::{
    Burst, Eal, EalError, Pool, PoolConfig, Port, PortConfig, PortError, RxQueue, Sent, TxQueue,
};

#[test]
fn af_packet_passes_frames_both_ways() {
    if !enter_namespace() {
        return;
    }
    run("ip link add ffi0 type veth peer name ffi1");
    // Otherwise a sender of this machine leaves checksums and segmentation to the device.
    run("ethtool -K ffi1 tx off tso off gso off");
    run("ip link set ffi0 up");
    run("ip link set ffi1 up");
    let eal = Eal::start(config()).expect("DPDK starts without huge pages");
    let pool = PoolConfig {
        mbufs: 4095,
        cache: 0,
        ..PoolConfig::default()
    };
    let pool = Pool::create(&eal, "af_packet", pool).expect("a pool");

    let error = eal
        .attach("net_af_packet1,iface=none")
        .expect_err("there is no such interface");
    assert!(matches!(error, EalError::Attach { .. }), "{error}");
    assert!(error.to_string().contains("none"), "{error}");

    let id = eal.attach("net_af_packet0,iface=ffi0").expect("attached");
    let config = PortConfig {
        promiscuous: true,
        ..PortConfig::default()
    };
    let jumbo = PortConfig {
        mtu: Some(9000),
        ..config
    };
    let error = Port::open(&eal, id, jumbo, &pool)
        .err()
        .expect("more than its frames are long");
    assert!(
        matches!(error, PortError::Mtu { most: 1500, .. }),
        "{error}"
    );
    let port = Port::open(&eal, id, config, &pool).expect("opened");
    assert!(port.info().offloads.tx_segments && port.info().if_index.is_some());

    port.start().expect("it starts");
    let mut rx = port.take_rx_queue(0).expect("queue 0");
    let mut tx = port.take_tx_queue(0).expect("queue 0");

    let wire = Wire::open("ffi1");

    for round in 0..50 {
        let sent: Vec<_> = (0..16)
            .map(|number| ethernet(round * 16 + number, 1500))
            .collect();
        let mut burst = Burst::new();
        for (number, content) in sent.iter().enumerate() {
            let mbuf = frame(&pool, content);
            // Every other one in two segments, the second shared.
            let mbuf = match number % 2 {
                0 => mbuf,
                _ => mbuf.replicate(&pool, 60).expect("two mbufs"),
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
        assert_eq!(wire.receive_ours(16), sent);
        for frame in &sent {
            wire.send(frame);
        }
        assert_eq!(receive_ours(&mut rx, 16), sent);
    }
    a_tag_the_kernel_took_is_put_back(&wire, &mut rx);
    frames_longer_than_the_port_s_mtu_pass(&pool, &wire, &mut rx, &mut tx);

    drop((rx, tx, port));
    assert_eq!(pool.in_use(), 0);
    run("ip link del ffi0");
}

/// The driver says 1500 whatever the interface's MTU is, and takes no other; the interface decides.
fn frames_longer_than_the_port_s_mtu_pass(
    pool: &Pool,
    wire: &Wire,
    rx: &mut RxQueue,
    tx: &mut TxQueue,
) {
    run("ip link set ffi0 mtu 1900");
    run("ip link set ffi1 mtu 1900");
    let long = ethernet(8, 14 + 1900);
    wire.send(&long);
    assert_eq!(receive_ours(rx, 1), std::slice::from_ref(&long));
    let mut burst = Burst::new();
    burst.push(frame(pool, &long)).expect("room");
    assert_eq!(
        tx.transmit_or_free(&mut burst),
        Sent {
            sent: 1,
            dropped: 0
        }
    );
    assert_eq!(wire.receive_ours(1), [long]);
}

/// The kernel takes an 802.1Q tag off a frame before a packet socket sees it. The driver
/// puts it back into the data, so that there is one place to look for it.
fn a_tag_the_kernel_took_is_put_back(wire: &Wire, rx: &mut RxQueue) {
    let mut tagged = ethernet(7, 100);
    tagged.splice(12..12, [0x81, 0x00, 0x20, 0x64]); // priority 1, VLAN 100
    wire.send(&tagged);
    let start = std::time::Instant::now();
    let mut burst = Burst::new();
    loop {
        assert!(start.elapsed().as_secs() < 5, "the tagged frame came");
        rx.receive(&mut burst);
        let found = burst
            .drain()
            .find(|mbuf| common::is_ours(&bytes(mbuf)) || bytes(mbuf) == tagged);
        if let Some(mbuf) = found {
            assert_eq!(
                bytes(&mbuf),
                tagged,
                "stripped: {:?}",
                mbuf.rx_vlan_stripped()
            );
            assert_eq!(mbuf.rx_vlan_stripped(), None);
            return;
        }
    }
}
