//! What a poll costs, in ticks of the time stamp counter: of an empty queue, of 64 frames received
//! and freed, and of 64 received and sent. `cargo run --release --example poll_cost`.

use dpdk_ffi::{
    Burst, Eal, EalConfig, Memory, Pool, PoolConfig, Port, PortConfig, RxQueue, rdtsc, tsc_hz,
};

const ROUNDS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let eal = Eal::start(EalConfig {
        memory: Memory::NoHuge { mb: 128 },
        file_prefix: "dpdk-ffi-poll".into(),
        telemetry: false,
        ..EalConfig::default()
    })?;
    let pool = Pool::create(&eal, "poll", PoolConfig::default())?;
    let open = |devargs: &str| -> Result<Port, Box<dyn std::error::Error>> {
        let port = Port::open(&eal, eal.attach(devargs)?, PortConfig::default(), &pool)?;
        port.start()?;
        Ok(port)
    };
    let _worker = eal.register_worker()?;
    println!("{}, {:.3} GHz", eal.version(), tsc_hz(&eal) as f64 / 1e9);

    let mut empty = open("net_null0,no-rx=1")?.take_rx_queue(0)?;
    let null = open("net_null1")?;
    let (mut rx, mut tx) = (null.take_rx_queue(0)?, null.take_tx_queue(0)?);
    best("poll of an empty queue", &mut empty, |burst| burst.clear());
    best("64 frames received and freed", &mut rx, |burst| {
        burst.clear()
    });
    best("64 frames received and sent", &mut rx, |burst| {
        tx.transmit(burst);
    });
    best(
        "64 frames received, taken out one by one and freed",
        &mut rx,
        |burst| {
            burst.drain().for_each(drop);
        },
    );
    Ok(())
}

/// Prints the mean of the best of ten runs, for the worse were disturbed.
fn best(what: &str, rx: &mut RxQueue, mut finish: impl FnMut(&mut Burst)) {
    let mut burst = Burst::new();
    let mut run = || {
        let start = rdtsc();
        for _ in 0..ROUNDS / 10 {
            rx.receive(&mut burst);
            finish(&mut burst);
        }
        (rdtsc() - start) as f64 / (ROUNDS / 10) as f64
    };
    let ticks = (0..10).map(|_| run()).fold(f64::INFINITY, f64::min);
    println!("{ticks:8.1} ticks: {what}");
}
