//! DPDK's telemetry socket: counters of the devices, the same way for every DPDK
//! program (DPDK guide, "Telemetry Library": JSON over SOCK_SEQPACKET).

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use serde_json::Value;

/// A connection.
pub struct Telemetry {
    socket: OwnedFd,
}

/// Packets of a device since it was started.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceStats {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
}

/// The most bytes of an answer (`MAX_OUTPUT_LEN` of DPDK).
const ANSWER: usize = 16 * 1024;

impl Telemetry {
    /// Connects to the program with this file prefix.
    pub fn connect(prefix: &str) -> Result<Self> {
        let path = format!("/var/run/dpdk/{prefix}/dpdk_telemetry.v2");
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
        connect(&socket, &SocketAddrUnix::new(Path::new(&path))?)
            .with_context(|| format!("no telemetry at {path}"))?;
        let telemetry = Self { socket };
        telemetry.receive().context("telemetry says nothing")?;
        Ok(telemetry)
    }

    fn receive(&self) -> Result<Vec<u8>> {
        let mut buffer = vec![0; ANSWER];
        let (len, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// Packets of a device.
    pub fn device(&self, port: u16) -> Result<DeviceStats> {
        let question = format!("/ethdev/stats,{port}");
        send(&self.socket, question.as_bytes(), SendFlags::empty())?;
        let answer: Value = serde_json::from_slice(&self.receive()?)?;
        let stats = &answer["/ethdev/stats"];
        let number = |name: &str| {
            stats[name]
                .as_u64()
                .with_context(|| format!("telemetry has no {name} of device {port}: {answer}"))
        };
        Ok(DeviceStats {
            received: number("ipackets")?,
            sent: number("opackets")?,
        })
    }
}
