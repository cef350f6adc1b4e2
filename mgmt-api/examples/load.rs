//! Loads a million ports by REST into a server of its own and prints time, CPU and memory, then restarts it.
//!
//! `cargo run --release --example load -- [PORTS] [transactions|state|singles|routes|routers]`
//!
//! With `routes` they are routes of one router, with `routers` routes in the own lists of routers, a hundred in each.
//!
//! The control plane is the tests' fake without its mirror: what is measured is the management plane alone.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

type Error = Box<dyn std::error::Error>;

const NETWORKS: u32 = 1000;
const HOSTS: u32 = 1000;
const PER_TRANSACTION: u32 = 10_000;
const CLIENTS: u32 = 64;
const PER_ROUTER: usize = 100;

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let ports: u32 = args.next().map_or(Ok(1_000_000), |ports| ports.parse())?;
    let how = args.next().unwrap_or_else(|| "transactions".to_owned());
    let store = tempfile::tempdir()?;
    let server = Server::start(store.path())?;
    server.post("transaction", &format!("{{\"put\":{{{}}}}}", fabric()))?;
    server.print("empty, networks and hosts alone", 0)?;

    let started = Instant::now();
    match how.as_str() {
        "state" => {
            let body = format!("{{{},\"ports\":{{{}}}}}", fabric(), ports_json(0..ports));
            println!("one body of {} MB", body.len() / 1_000_000);
            let started = Instant::now();
            server.put("state", &body)?;
            println!("answered in {:?}", started.elapsed());
        }
        "singles" => singles(&server, ports)?,
        "routes" => {
            server.put("routers/r1", &router_json(1, &[]))?;
            for first in (0..ports).step_by(PER_TRANSACTION as usize) {
                let routes = (first..(first + PER_TRANSACTION).min(ports))
                    .map(|n| format!("\"r1/{}\":{{\"via\":[\"10.0.0.2\"]}}", prefix(n)));
                let routes = routes.collect::<Vec<_>>().join(",");
                server.post(
                    "transaction",
                    &format!("{{\"put\":{{\"routes\":{{{routes}}}}}}}"),
                )?;
            }
        }
        "routers" => {
            for first in (0..ports).step_by(PER_TRANSACTION as usize) {
                let routers = (first..first + PER_TRANSACTION)
                    .step_by(PER_ROUTER)
                    .map(|n| {
                        let routes: Vec<_> = (n..n + PER_ROUTER as u32).map(prefix).collect();
                        format!("\"{}\":{}", uuid(n), router_json(n, &routes))
                    });
                let routers = routers.collect::<Vec<_>>().join(",");
                server.post(
                    "transaction",
                    &format!("{{\"put\":{{\"routers\":{{{routers}}}}}}}"),
                )?;
            }
        }
        _ => {
            for first in (0..ports).step_by(PER_TRANSACTION as usize) {
                let last = (first + PER_TRANSACTION).min(ports);
                let body = format!("{{\"put\":{{\"ports\":{{{}}}}}}}", ports_json(first..last));
                server.post("transaction", &body)?;
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{ports} records in {seconds:.2} s, {:.0} a second",
        f64::from(ports) / seconds
    );
    server.print("loaded", ports)?;

    drop(server);
    let started = Instant::now();
    let server = Server::start(store.path())?;
    println!("killed, and answers again after {:?}", started.elapsed());
    server.print("restarted", ports)
}

/// Many clients with one port at a time: their commits are shared.
fn singles(server: &Server, ports: u32) -> Result<(), Error> {
    std::thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client| {
            scope.spawn(move || {
                for port in (client..ports).step_by(CLIENTS as usize) {
                    let json = port_json(port);
                    server
                        .put(&format!("ports/{}", uuid(port)), &json)
                        .map_err(|e| e.to_string())?;
                }
                Ok::<_, String>(())
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().expect("no panic"))
    })
    .map_err(Into::into)
}

/// Interfaces, hosts and networks.
fn fabric() -> String {
    let hosts = (0..HOSTS).map(|n| {
        format!(
            "\"{}\":{{\"vtep\":\"10.1.{}.{}\"}}",
            uuid(n | 1 << 30),
            n / 250,
            n % 250 + 1
        )
    });
    let networks = (0..NETWORKS).map(|n| {
        let vni = n + 1;
        format!(
            "\"{}\":{{\"segment\":{{\"type\":\"vxlan\",\"vni\":{vni}}}}}",
            uuid(n | 1 << 31)
        )
    });
    format!(
        "\"interfaces\":{{\"eth0\":{{\"addresses\":[\"192.0.2.11/24\"]}}}},\"hosts\":{{{}}},\"networks\":{{{}}}",
        hosts.collect::<Vec<_>>().join(","),
        networks.collect::<Vec<_>>().join(",")
    )
}

fn ports_json(range: std::ops::Range<u32>) -> String {
    let mut json = String::with_capacity(range.len() * 260);
    for n in range {
        let comma = if json.is_empty() { "" } else { "," };
        let _ = write!(json, "{comma}\"{}\":{}", uuid(n), port_json(n));
    }
    json
}

fn port_json(n: u32) -> String {
    let (network, host) = (n % NETWORKS, mix(n) % HOSTS);
    let address = n / NETWORKS + 2;
    format!(
        "{{\"network\":\"{}\",\"mac\":\"fa:16:{:02x}:{:02x}:{:02x}:{:02x}\",\"addresses\":[\"10.0.{}.{}\"],\"host\":\"{}\"}}",
        uuid(network | 1 << 31),
        n >> 24,
        n >> 16 & 255,
        n >> 8 & 255,
        n & 255,
        address >> 8,
        address & 255,
        uuid(host | 1 << 30)
    )
}

/// The `n`th of prefixes that do not overlap: 2²⁰ of length 24 and more beyond them.
fn prefix(n: u32) -> String {
    let [_, a, b, c] = n.to_be_bytes();
    format!("{}.{b}.{c}.0/24", 11 + a)
}

/// A router in one of the networks, with a gateway of its own there.
fn router_json(n: u32, routes: &[String]) -> String {
    let network = uuid((n / PER_ROUTER as u32 % NETWORKS) | 1 << 31);
    let host = n / PER_ROUTER as u32 / NETWORKS * 4 + 1;
    let routes = routes.iter().map(|prefix| {
        format!(
            "{{\"destination\":\"{prefix}\",\"via\":\"10.0.0.{}\"}}",
            host + 1
        )
    });
    format!(
        "{{\"interfaces\":[{{\"network\":\"{network}\",\"mac\":\"fa:16:3d:{:02x}:{:02x}:{:02x}\",\"addresses\":[\"10.0.0.{host}/24\"]}}],\
         \"routes\":[{}]}}",
        n >> 16 & 255,
        n >> 8 & 255,
        n & 255,
        routes.collect::<Vec<_>>().join(",")
    )
}

fn mix(n: u32) -> u32 {
    (u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// As random as those of Neutron.
fn uuid(n: u32) -> String {
    let high = u64::from(n)
        .wrapping_add(1)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let low = high.rotate_left(23).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

struct Server {
    child: Child,
    url: String,
    client: reqwest::blocking::Client,
}

impl Server {
    fn start(store: &Path) -> Result<Self, Error> {
        let server = std::env::current_exe()?.with_file_name("serve_fake");
        let mut child = Command::new(server)
            .args(["127.0.0.1:0".as_ref(), store.as_os_str()])
            .env("NO_MIRROR", "1")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let stdout = child.stdout.take().ok_or("no output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        let client = reqwest::blocking::Client::builder().timeout(None).build()?;
        Ok(Self {
            child,
            url: format!("http://{}/v1", address.trim()),
            client,
        })
    }

    fn post(&self, path: &str, body: &str) -> Result<(), Error> {
        self.send(self.client.post(format!("{}/{path}", self.url)), body)
    }

    fn put(&self, path: &str, body: &str) -> Result<(), Error> {
        self.send(self.client.put(format!("{}/{path}", self.url)), body)
    }

    fn send(&self, request: reqwest::blocking::RequestBuilder, body: &str) -> Result<(), Error> {
        let request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
        let response = request.send()?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(response.text()?.into()),
        }
    }

    fn print(&self, when: &str, ports: u32) -> Result<(), Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
                .unwrap_or(0)
        };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let mut ticks = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .skip(11);
        let mut seconds = || {
            ticks
                .next()
                .and_then(|t| t.parse::<f64>().ok())
                .unwrap_or(0.0)
                / 100.0
        };
        let (rss, peak) = (kib("VmRSS:"), kib("VmHWM:"));
        let (user, system) = (seconds(), seconds());
        print!(
            "{when}: {} MiB (peak {}), {user:.1} s user, {system:.1} s system",
            rss >> 10,
            peak >> 10
        );
        if ports > 0 {
            print!(
                ", {} bytes per record in all",
                rss * 1024 / u64::from(ports)
            );
        }
        println!();
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
