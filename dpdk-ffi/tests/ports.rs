//! Ports that need no rights: null, ring and pcap. Traffic passes, and the pool is as full after
//! as before.

mod common;

use common::{eal, pool};
use dpdk_ffi::{Burst, Pool, Port, PortConfig};

fn open(devargs: &str, config: PortConfig, pool: &Pool) -> Port {
    let id = eal().attach(devargs).expect("the device attaches");
    Port::open(eal(), id, config, pool).expect("the port opens")
}

#[test]
fn null_gives_frames_forever_and_takes_all() {
    let pool = pool("null");
    let port = open("net_null0,size=100", PortConfig::default(), &pool);
    eprintln!("{:?}", port.info());
    port.start().expect("it starts");
    let mut rx = port.take_rx_queue(0).expect("queue 0");
    let mut tx = port.take_tx_queue(0).expect("queue 0");
    let mut burst = Burst::new();
    for _ in 0..1000 {
        assert_eq!(rx.receive(&mut burst), Burst::CAPACITY);
        assert!(
            burst
                .iter()
                .all(|mbuf| mbuf.frame_len() == 100 && mbuf.port() == Some(port.id()))
        );
        assert_eq!(tx.transmit(&mut burst), Burst::CAPACITY);
        assert!(burst.is_empty());
    }
    drop((rx, tx, port));
    assert_eq!(pool.in_use(), 0);
}
