//! Prints what each device string given is and can do, and the error of those that cannot be
//! attached: `cargo run --example devices -- net_null0 net_tap0,iface=dtap0`.

use dpdk_ffi::{Eal, EalConfig, LogLevel, Memory, Pool, PoolConfig, Port, PortConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let eal = Eal::start(EalConfig {
        memory: Memory::NoHuge { mb: 128 },
        file_prefix: "dpdk-ffi-devices".into(),
        log_level: LogLevel::Error,
        // What a driver says of an error is in the error.
        log_hook: Some(|_, _| ()),
        telemetry: false,
        ..EalConfig::default()
    })?;
    println!("{}", eal.version());
    let pool = Pool::create(&eal, "devices", PoolConfig::default())?;
    let config = PortConfig {
        rx_queues: 1,
        tx_queues: 1,
        checksums: true,
        ..PortConfig::default()
    };
    for devargs in std::env::args().skip(1) {
        let opened = eal
            .attach(&devargs)
            .map_err(|error| error.to_string())
            .and_then(|id| Port::open(&eal, id, config, &pool).map_err(|error| error.to_string()));
        match opened {
            Ok(port) => println!("{devargs}: {:#?}\n{:?}", port.info(), port.link()),
            Err(error) => println!("{devargs}: {error}"),
        }
    }
    Ok(())
}
