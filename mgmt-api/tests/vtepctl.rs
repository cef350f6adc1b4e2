//! The real binary against a served API, over TCP and over a Unix socket.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mgmt_api::events::Event;
use mgmt_api::manager::Manager;
use mgmt_api::resources::NatLimits;
use mgmt_api::rest::{self, Bound, Config, Endpoint, ServeError};
use mgmt_api::state::Handle;
use mgmt_api::translation::{
    NatPool, NatPoolState, NatTenant, PortUse, SessionProtocol, SessionRow, SessionState,
};
use serde_json::{Value, json};
use support::FakeControl;
use tokio::sync::oneshot;

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// A server on sockets of its own, stopped when dropped.
struct Served {
    address: String,
    control: Arc<FakeControl>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Served {
    fn new(endpoint: &Endpoint) -> Self {
        let runtime = runtime();
        let control = Arc::new(FakeControl::default());
        let (manager, _writer) = Manager::start(control.clone(), None).unwrap();
        let bound = runtime.block_on(rest::bind(endpoint)).unwrap();
        let address = match (&bound, endpoint) {
            (Bound::Tcp(_), _) => format!("http://{}", bound.tcp_address().unwrap()),
            (_, Endpoint::Unix(path)) => format!("unix:{}", path.display()),
            _ => unreachable!("bound as asked"),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let router = rest::router(manager, Config::default());
        let thread = std::thread::spawn(move || {
            let shutdown = async {
                let _ = stopped.await;
            };
            runtime.block_on(rest::serve(vec![bound], router, shutdown))
        });
        Self {
            address,
            control,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn tcp() -> Self {
        Self::new(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap()))
    }

    fn stop(mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap().unwrap();
    }

    fn run(&self, line: &str) -> Output {
        run(&self.address, line, None)
    }

    /// What a command prints that succeeds.
    #[track_caller]
    fn says(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.says(&format!("{line} -o json"))).unwrap()
    }

    /// The one line on stderr of a command that fails with this code.
    #[track_caller]
    fn fails(&self, code: i32, line: &str) -> String {
        failed(&self.run(line), code)
    }

    fn with_fabric(self) -> Self {
        self.says("interfaces put eth0 --address 192.0.2.11/24 --address 2001:db8::11/64 --gateway 192.0.2.1");
        self.says("interfaces put eth1");
        self.says("hosts put h1 --vtep 192.0.2.12");
        self.says("networks put blue --vni 10 --binding eth1:100");
        self
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

#[track_caller]
fn failed(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty());
    stderr
}

fn run(server: &str, line: &str, input: Option<&str>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vtepctl"))
        .args(line.split_whitespace())
        .env("VTEPCTL_SERVER", server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(input.unwrap_or_default().as_bytes())
        .unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn write(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn an_operator_builds_a_network_without_a_file() {
    let served = Served::tcp().with_fabric();
    assert_eq!(
        served.says(
            "ports put p1 --network blue --mac 52:54:00:00:00:01 --address 10.0.0.1 --host h1"
        ),
        "1 created\n"
    );
    assert_eq!(
        served.says(
            "ports put p2 --network blue --mac 52:54:00:00:00:02 --interface eth1 --vlan 100"
        ),
        "1 created\n"
    );
    assert_eq!(
        served.says("ports set p2 --address 10.0.0.2"),
        "1 changed\n"
    );
    assert_eq!(
        served.says("ports set p2 --address 10.0.0.2"),
        "1 unchanged\n"
    );
    let list = served.says("ports list");
    let lines: Vec<_> = list
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "ID NETWORK MAC ADDRESSES LOCATION",
            "p1 blue 52:54:00:00:00:01 10.0.0.1 host h1",
            "p2 blue 52:54:00:00:00:02 10.0.0.2 local eth1:100",
        ]
    );
    assert_eq!(served.json("ports list --host h1")[0]["id"], "p1");
    assert_eq!(
        served
            .json("ports list --limit 1")
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // Moving it to another host takes its interface away.
    served.says("ports set p2 --host h1");
    assert_eq!(
        served.json("ports get p2"),
        json!({
            "id": "p2", "network": "blue", "mac": "52:54:00:00:00:02", "addresses": ["10.0.0.2"], "host": "h1",
        })
    );
    served.says("fdb put blue/52:54:00:00:00:03 --interface eth1 --vlan 100");
    let table = served.says("fdb list blue");
    assert!(
        table.contains("192.0.2.12") && table.contains("local eth1:100"),
        "{table}"
    );
    assert_eq!(
        served
            .json("fdb list blue --static")
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        served.says("fdb flush --network blue"),
        "0 learned addresses forgotten\n"
    );
    served.says("networks put green --segment-vlan eth1:30 --mtu 1400 --description x");
    assert_eq!(
        served.json("networks get green")["segment"],
        json!({"type": "vlan", "interface": "eth1", "vlan": 30})
    );
    served.says("networks put red --vni 30 --group 239.1.1.1 --learning false");
    assert!(served.says("networks list").contains("multicast 239.1.1.1"));
    assert_eq!(served.says("ports delete p1 p2"), "1 deleted\n1 deleted\n");
    served.stop();
}

#[test]
fn a_state_is_exported_edited_previewed_and_applied() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::tcp().with_fabric();
    served.says("ports put p1 --network blue --mac 52:54:00:00:00:01 --host h1");
    let yaml = served.says("export -o yaml");
    let edited = yaml.replace("vni: 10", "vni: 20").replace("p1:", "p9:");
    let file = write(directory.path(), "state.yaml", &edited);

    let preview = served.says(&format!("apply -f {file} --dry-run"));
    assert!(preview.contains("~ networks/blue\n    segment: {\"type\":\"vxlan\",\"vni\":10} → {\"type\":\"vxlan\",\"vni\":20}\n"), "{preview}");
    assert!(
        preview.contains("+ ports/p9\n") && preview.contains("- ports/p1\n"),
        "{preview}"
    );
    assert!(
        preview.ends_with(
            "1 created, 1 changed, 1 deleted, 3 unchanged (dry run: nothing was changed)\n"
        ),
        "{preview}"
    );
    assert_eq!(served.json("networks get blue")["segment"]["vni"], 10);
    assert_eq!(
        served.says(&format!("apply -f {file}")),
        "1 created, 1 changed, 1 deleted, 3 unchanged\n"
    );
    assert_eq!(served.json("networks get blue")["segment"]["vni"], 20);

    // What JSON exports is taken back as it is, also from the standard input.
    let json = served.says("export -o json");
    let output = run(&served.address, "apply -f - -o json", Some(&json));
    assert!(output.status.success());
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["unchanged"],
        5
    );
    let batch = write(directory.path(), "batch.yaml", "delete:\n  ports: [p9]\n");
    assert_eq!(
        served.says(&format!("transaction -f {batch}")),
        "1 deleted\n"
    );
    let document = served.says("networks get blue -o json");
    let output = run(
        &served.address,
        "networks put blue --mtu 1400 -f -",
        Some(&document),
    );
    assert!(output.status.success());
    assert_eq!(served.json("networks get blue")["mtu"], 1400);
    served.stop();
}

#[test]
fn what_is_shows_in_tables() {
    let served = Served::tcp().with_fabric();
    for (line, expected) in [
        ("drops", "7  vni-unknown"),
        ("drops --all", "ttl-expired"),
        ("workers", "25%"),
        ("tables", "fdb"),
        ("underlay", "reachable"),
        ("interfaces status", "net_null"),
        ("interfaces status eth1", "eth1"),
        ("networks status blue", "1450"),
        ("health", "ok"),
        ("version", "this-host"),
        ("completion bash", "_vtepctl"),
        ("completion zsh", "#compdef vtepctl"),
        ("completion fish", "complete -c vtepctl"),
        ("networks list -o yaml", "vni: 10"),
    ] {
        let printed = served.says(line);
        assert!(printed.contains(expected), "{line}: {printed}");
    }
    assert!(!served.says("drops").contains("ttl-expired"));
    served.stop();
}

#[test]
fn an_operator_routes_between_networks() {
    let served = Served::tcp().with_fabric();
    served.says("networks put red --vni 11 --subnet 192.168.1.0/24,gateway=192.168.1.1,dns=192.0.2.53,option=15=example.org --subnet 2001:db8:1::/64 --gateway-from-underlay true");
    let red = served.json("networks get red");
    assert_eq!(red["subnets"][0]["gateway"], "192.168.1.1");
    assert_eq!(
        red["subnets"][0]["dhcp_options"],
        json!({"domain-name": "example.org"})
    );
    assert_eq!(red["subnets"][1]["ipv6_mode"], "slaac");
    assert_eq!(red["gateway_from_underlay"], true);
    assert!(served.says("networks list").contains("192.168.1.0/24"));
    let line = "routers put r1 --interface network=red,mac=fa:16:3e:00:00:01,address=192.168.1.1/24,2001:db8:1::1/64 \
                --interface network=blue,mac=fa:16:3e:00:00:02,address=192.168.2.1/24 --route 10.0.0.0/8=192.168.1.254 --route 10.0.0.0/8=192.168.2.254";
    assert_eq!(served.says(line), "1 created\n");
    assert_eq!(
        served.json("routers get r1")["routes"],
        json!([
            {"destination": "10.0.0.0/8", "via": "192.168.1.254"},
            {"destination": "10.0.0.0/8", "via": "192.168.2.254"},
        ])
    );
    let table = served.says("routers list");
    for part in [
        "every host",
        "red 192.168.1.1/24, 2001:db8:1::1/64",
        "10.0.0.0/8 via 192.168.2.254",
    ] {
        assert!(table.contains(part), "{table}");
    }
    assert!(table.lines().all(|line| line.len() <= 100), "{table}");
    served.says("routers set r1 --distributed false");
    assert!(served.says("routers list").contains("this host"));

    served.says("routes put r1/10.1.0.0/16 --via 192.168.1.254 --via 192.168.1.253");
    served.says("routes put r1/2001:db8:2::/48 --via 2001:db8:1::fe");
    assert_eq!(
        served.says("routes list r1"),
        "ID                  VIA\n\
         r1/10.1.0.0/16      192.168.1.254, 192.168.1.253\n\
         r1/2001:db8:2::/48  2001:db8:1::fe\n"
    );
    assert_eq!(
        served.json("routes get r1/10.1.0.0/16")["id"],
        "r1/10.1.0.0/16"
    );
    served.says("routes delete r1/10.1.0.0/16 r1/2001:db8:2::/48");
    assert_eq!(served.json("routes list r1"), json!([]));

    served.says("ports put p1 --network red --mac 52:54:00:00:00:01 --address 192.168.1.9 --interface eth1 --vlan 7 --anti-spoofing false --allow 192.168.1.50 --allow 10.0.0.0/8=52:54:00:00:00:02 --dhcp-option ntp-servers=192.0.2.1,192.0.2.2 --hostname vm1");
    let port = served.json("ports get p1");
    assert_eq!(port["anti_spoofing"], false);
    assert_eq!(
        port["allowed_address_pairs"],
        json!([{"address": "192.168.1.50"}, {"address": "10.0.0.0/8", "mac": "52:54:00:00:00:02"}])
    );
    assert_eq!(
        port["dhcp_options"],
        json!({"ntp-servers": "192.0.2.1, 192.0.2.2"})
    );
    assert_eq!(port["hostname"], "vm1");
    assert!(
        served
            .fails(2, "routers put r2 --interface network=red,vlan=1")
            .contains("none of these")
    );
    assert!(
        served
            .fails(1, "routers put r2 --interface network=red,mac=fa:16:3e:00:00:03,address=192.168.1.0/24")
            .contains("/interfaces/0/addresses/0")
    );
    assert!(served.says("neighbours red").starts_with("ADDRESS"));
    served.stop();
}

#[test]
fn an_operator_leads_networks_outside() {
    let served = Served::tcp().with_fabric();
    served.says("interfaces put small");
    served.says("hosts put net1 --vtep 192.0.2.13");
    served.says("hosts put this-host --dvr-mac fa:16:3f:00:00:01");
    served.says("networks put red --vni 11");
    served.says("networks put public --segment-flat small --subnet 10.100.0.0/24,gateway=10.100.0.1 --floating-ip-gateway mac=fa:16:3e:7d:bd:86,address=10.100.0.2 --floating-ip-gateway fa:16:3e:7d:bd:87,host=h1");
    let public = served.json("networks get public");
    assert_eq!(
        public["segment"],
        json!({"type": "flat", "interface": "small"})
    );
    assert_eq!(
        public["external"]["floating_ip_gateways"][1],
        json!({"mac": "fa:16:3e:7d:bd:87", "host": "h1"})
    );
    assert!(served.says("networks list").contains("flat small"));
    let line = "routers put r1 --interface red,mac=fa:16:3e:5b:89:14,address=192.168.1.1/24,central-mac=fa:16:3e:19:e1:98,central=192.168.1.11 \
                --external-network public --external-gateway fa:16:3e:70:a5:d3,address=10.100.0.5/24,host=net1 --next-hop 10.100.0.254 \
                --exempt 198.51.100.0/24 --tenant acme";
    assert_eq!(served.says(line), "1 created\n");
    served.says("routers set r1 --filtering address-dependent");
    let outside = &served.json("routers get r1")["external_gateway"];
    assert_eq!(outside["next_hops"], json!(["10.100.0.254"]));
    assert_eq!(outside["filtering"], "address-dependent");
    assert!(
        served
            .says("routers list")
            .contains("outside public 10.100.0.5/24 at net1")
    );

    served.says(
        "ports put vm1 --network red --mac 52:54:00:00:00:09 --address 192.168.1.9 --host h1",
    );
    served.says("floating-ips put fip1 --address 10.100.0.7 --network public --port vm1");
    let table = served.says("floating-ips list");
    assert!(table.contains("192.168.1.9 (vm1)"), "{table}");
    served.says(
        "floating-ips set fip1 --forward tcp/8080=192.168.1.9:80 --forward udp/53=192.168.1.9:53",
    );
    let shown = served.json("floating-ips get fip1");
    assert_eq!(
        (&shown["port"], &shown["router"]),
        (&Value::Null, &"r1".into())
    );
    assert!(
        served
            .says("floating-ips list")
            .contains("tcp/8080 to 192.168.1.9:80")
    );
    served.says("floating-ips set fip1 --disassociate");
    let reserved = json!({"id": "fip1", "address": "10.100.0.7", "network": "public"});
    assert_eq!(served.json("floating-ips get fip1"), reserved);
    assert!(
        served
            .fails(2, "floating-ips set fip1 --forward 8080")
            .contains("PROTOCOL/PORT=ADDRESS:PORT")
    );

    served.says("tenants put acme --sessions 1000 --ports 500");
    assert!(served.says("tenants list").contains("1000"));
    served.says("nat-settings put default --timeout udp=120 --timeout rest=60 --sessions 5000");
    served.says("nat-settings set default --unsolicited-syn unreachable --timeout icmp=90");
    let settings = served.json("nat-settings get default");
    let timeouts = &settings["timeouts"];
    assert_eq!(
        (&timeouts["udp"], &timeouts["icmp"]),
        (&120.into(), &90.into())
    );
    assert_eq!(settings["limits"]["sessions"], 5000);
    let short = served.fails(1, "nat-settings set default --timeout udp=30");
    assert!(short.contains("RFC 4787"), "{short}");
    served.says("nat-settings set default --timeout udp=30 --short-timeouts true");
    assert!(
        served
            .says("nat-settings list")
            .contains("tcp_established 7440")
    );
    served.stop();
}

#[test]
fn sessions_and_pools_are_shown_and_ended() {
    let served = Served::tcp();
    let file = tempfile::tempdir().unwrap();
    let cloud = write(
        file.path(),
        "cloud.json",
        &support::api::cloud().to_string(),
    );
    served.says(&format!("transaction -f {cloud}"));
    let row = |port: u16, shared_port| SessionRow {
        router: Handle::new(0),
        protocol: SessionProtocol::Tcp,
        inside: format!("192.168.1.9:{port}").parse().unwrap(),
        outside: format!("10.100.0.5:{port}").parse().unwrap(),
        remote: "198.51.100.7:443".parse().unwrap(),
        state: SessionState::ClosedOutside,
        idle_seconds: 3,
        expires_in_seconds: 7437,
        worker: 1,
        shared_port,
    };
    *served.control.sessions.lock() = vec![row(40000, false), row(40001, true), row(40002, false)];
    *served.control.pools.lock() = vec![NatPool {
        router: Handle::new(0),
        address: "10.100.0.5".parse().unwrap(),
        sessions: 3,
        ports: vec![PortUse {
            protocol: SessionProtocol::Udp,
            used: 7,
            free: 64505,
        }],
        state: NatPoolState::Open,
    }];
    *served.control.tenants.lock() = vec![NatTenant {
        tenant: "acme".parse().unwrap(),
        sessions: 3,
        ports: 3,
        fragments: 0,
        limits: NatLimits::default(),
    }];
    let table = served.says("sessions list --inside 192.168.1.9 --inside-port 40001");
    assert_eq!(table.lines().count(), 2, "{table}");
    for part in ["10.100.0.5:40001 (shared)", "closed-outside", "7437s"] {
        assert!(table.contains(part), "{table}");
    }
    let listed = served.json("sessions list --limit 2");
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(served.says("nat pools").contains("udp 64505"));
    let tenants = served.says("nat tenants");
    assert!(
        tenants.contains("3 of 262144") && tenants.contains("nat-settings"),
        "{tenants}"
    );
    assert!(served.fails(1, "sessions delete").contains("all=true"));
    let ended = served.says("sessions delete --outside-port 40000 --state closed-outside");
    assert_eq!(ended, "1 sessions ended\n");
    assert_eq!(served.says("sessions delete --all"), "2 sessions ended\n");
    assert!(
        served
            .fails(1, "sessions list --protocol sctp")
            .contains("protocol")
    );
    served.stop();
}

#[test]
fn events_are_printed_as_they_come_and_end_with_the_server() {
    let served = Served::tcp();
    let start = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vtepctl"));
        command.arg("--server").arg(&served.address);
        command.args(line.split(' ')).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let (two, on) = (start("events --limit 2"), start("events -o json"));
    let sink = served.control.events.lock().clone().unwrap();
    let mut two = LinesOf::new(two);
    let mut on = LinesOf::new(on);
    // Who listens is not known from outside: events until both have heard one.
    let heard = |lines: &mut LinesOf| {
        loop {
            sink.emit(Event::NatSessionsFull { worker: 3 });
            if let Ok(line) = lines.lines.recv_timeout(Duration::from_millis(20)) {
                return line;
            }
        }
    };
    let line = heard(&mut two);
    assert!(line.ends_with("Z nat-sessions-full worker=3"), "{line}");
    heard(&mut two);
    assert!(two.child.wait().unwrap().success());
    let line: Value = serde_json::from_str(&heard(&mut on)).unwrap();
    assert_eq!(line["kind"], "nat-sessions-full");
    let started = Instant::now();
    served.stop();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "listeners hold nothing up"
    );
    on.child.wait().unwrap();
}

/// A command's output, line by line.
struct LinesOf {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl LinesOf {
    fn new(mut child: Child) -> Self {
        let stdout = child.stdout.take().unwrap();
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if send.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }
}

#[test]
fn a_packet_is_explained_line_by_line() {
    let served = Served::tcp().with_fabric();
    served.says("ports put p1 --network blue --mac 52:54:00:00:00:01 --address 10.0.0.1 --interface eth1 --vlan 100");
    served.says("ports put p2 --network blue --mac 52:54:00:00:00:02 --address 10.0.0.2 --host h1");
    assert_eq!(
        served.says("explain --from p1 --to p2 tcp/443"),
        "input  bound  it belongs to network blue\n\
         forwarded\n\
         \n\
         eth1: 10.0.0.1 > 10.0.0.2\n  \
         0000  ab ab ab ab ab ab ab ab  ab ab ab ab ab ab ab ab\n  \
         0010  ab ab ab ab ab ab ab ab  ab ab ab ab ab ab ab ab\n  \
         0020  ab ab ab ab ab ab ab ab  ab ab ab ab ab ab ab ab\n  \
         0030  ab ab ab ab ab ab ab ab  ab ab ab ab\n"
    );
    assert_eq!(
        served.says("explain --interface eth1 --hex ffffffffffff5254000000010806 --verbose"),
        "input   bound        it belongs to network blue\n                     \
         {\"network\":\"blue\"}\n\
         decide  vni-unknown  it goes no further\n\
         dropped: vni-unknown, The VNI belongs to no network here.\n"
    );
    let answer = served.json("explain --from p1 --to 10.0.0.2 --ttl 1 --length 1000");
    assert_eq!(answer["outcome"], "forwarded");
    assert_eq!(answer["frame"].as_str().unwrap().len(), 2 * 1014);
    let line = served.fails(1, "explain --from p1 --to 10.0.0.77");
    assert!(line.contains("/destination_mac"), "{line}");
    assert!(served.fails(2, "explain --hex 00").contains("--interface"));
    served.stop();
}

#[test]
fn failures_have_their_codes_and_one_clear_line() {
    let served = Served::tcp().with_fabric();
    let line = served.fails(1, "networks put red --vni 10");
    assert_eq!(
        line,
        "vtepctl: networks/red: /segment/vni: VNI 10 is already that of networks/blue: choose another (conflict)\n"
    );
    assert!(
        served
            .fails(1, "ports get nope")
            .contains("there is no port nope (not-found)")
    );
    assert!(served.fails(2, "networks put").contains("Usage"));
    assert!(
        served
            .fails(2, "ports get ../state")
            .contains("no identifier")
    );
    assert!(
        served
            .fails(2, "apply -f /nonexistent")
            .contains("cannot read")
    );
    assert!(
        served
            .fails(2, "--server ftp://x version")
            .contains("unix:/PATH")
    );
    let line = served.fails(3, "--server unix:/nonexistent/api.sock version");
    assert!(
        line.contains("cannot reach vtepd at unix:/nonexistent/api.sock: No such file"),
        "{line}"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = taken.local_addr().unwrap();
    drop(taken);
    let line = served.fails(3, &format!("--server http://{free} version"));
    assert!(
        line.contains(&format!("http://{free}")) && line.contains("Connection refused"),
        "{line}"
    );
    served.stop();
}

#[test]
fn a_unix_socket_is_for_its_owner_and_group_and_is_cleaned_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    // Left behind by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let served = Served::new(&Endpoint::Unix(path.clone())).with_fabric();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    assert_eq!(served.json("networks list")[0]["id"], "blue");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let second = runtime.block_on(rest::bind(&Endpoint::Unix(path.clone())));
    assert!(matches!(second, Err(ServeError::InUse(_))));
    served.stop();
    assert!(!path.exists());
}

#[tokio::test]
async fn nobody_else_may_ask() {
    let refused = rest::bind(&Endpoint::Tcp("0.0.0.0:0".parse().unwrap())).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback(_))));
}

/// The order: a request under way when the server stops is answered; then the server ends.
#[test]
fn a_request_under_way_is_answered_when_the_server_stops() {
    let runtime = runtime();
    let control = Arc::new(FakeControl::default());
    let (manager, _writer) = Manager::start(control.clone(), None).unwrap();
    let bound = runtime
        .block_on(rest::bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())))
        .unwrap();
    let address = format!("http://{}", bound.tcp_address().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(rest::serve(
        vec![bound],
        rest::router(manager, Config::default()),
        async {
            let _ = stopped.await;
        },
    ));
    let gate = control.gate.lock();
    let client = std::thread::spawn(move || run(&address, "hosts put h1 --vtep 192.0.2.12", None));
    control.wait_for_apply();
    drop(stop);
    drop(gate);
    let output = client.join().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    runtime.block_on(serving).unwrap().unwrap();
}
