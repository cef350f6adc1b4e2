//! A control plane in memory, for the tests: it mirrors what it is told, and complains of what makes no sense.

#![allow(dead_code, reason = "each test uses its part of this")]

pub mod api;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mgmt_api::change::{Change, Changes};
use mgmt_api::control::{
    ControlPlane, Device, DropCount, Facts, FdbEntry, FdbLocation, Forget, InterfaceStatus,
    MetadataAsker, Neighbour, NeighbourState, StageCycles, TableStatus, Traffic, UnderlayNeighbour,
    WorkerStatus,
};
use mgmt_api::events::EventSink;
use mgmt_api::explain::{
    DropExplanation, ExplainFrame, ExplainQuery, Explanation, Outcome, SentPacket, Step,
};
use mgmt_api::mac::Mac;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{Attachment, Host, Interface, Kind, Location, Network, Vid};
use mgmt_api::state::{Handle, View};
use mgmt_api::translation::{
    NatPool, NatTenant, SessionCursor, SessionPage, SessionQuery, SessionRow,
};
use parking_lot::{Condvar, Mutex};

/// The devices every test has: `eth0` and `eth1` (at most 9000), `small` (at most 1500), and `meta0`, which is taken.
pub fn facts() -> Facts {
    let device = |name: &str, number: u8, max_mtu| Device {
        name: name.to_owned(),
        mac: Mac([2, 0, 0, 0, 0, number]),
        mtu: 1500,
        max_mtu,
        driver: "net_null".to_owned(),
        taken_by: None,
    };
    let taken = Device {
        taken_by: Some("[metadata]"),
        ..device("meta0", 3, 1500)
    };
    Facts {
        local_host: "this-host".parse().unwrap(),
        devices: vec![
            device("eth0", 0, 9000),
            device("eth1", 1, 9000),
            device("small", 2, 1500),
            taken,
        ],
    }
}

type Names = BTreeMap<(&'static str, usize), String>;
type Members = BTreeMap<(Handle<Network>, Handle<Host>), ()>;

/// What the workers would forward by.
#[derive(Default)]
pub struct Mirror {
    /// Every record there is, by kind and handle.
    pub names: Names,
    pub bindings: BTreeMap<Attachment, Handle<Network>>,
    /// The same by device and VLAN id, whatever the tag's type, as a driver that cannot tell the types has it.
    pub slots: BTreeMap<(u32, Option<Vid>), Handle<Network>>,
    pub members: Members,
    pub fdb: BTreeMap<(Handle<Network>, Mac), Location>,
}

pub struct FakeControl {
    pub facts: Facts,
    pub mirror: Mutex<Mirror>,
    pub learned: Mutex<BTreeMap<(Handle<Network>, Mac), Attachment>>,
    /// What it says of the neighbours of every network.
    pub neighbours: Mutex<Vec<Neighbour>>,
    /// Whom the metadata proxy knows, by address.
    pub metadata: Mutex<Vec<MetadataAsker>>,
    /// What workers translate.
    pub sessions: Mutex<Vec<SessionRow>>,
    pub pools: Mutex<Vec<NatPool>>,
    pub tenants: Mutex<Vec<NatTenant>>,
    /// Where it tells of events.
    pub events: Mutex<Option<EventSink>>,
    /// The last packet it was asked to explain.
    pub explained: Mutex<Option<ExplainQuery>>,
    /// The most entries the MAC table takes.
    pub capacity: usize,
    /// Whether to mirror; the load test measures the manager alone.
    pub mirrors: bool,
    pub applied: AtomicU64,
    pub sick: AtomicBool,
    /// Held by a test that wants the writer to wait within `apply`.
    pub gate: Mutex<()>,
    pub entered: Mutex<u64>,
    pub entering: Condvar,
}

impl FakeControl {
    /// Waits until the writer is at the gate, or has passed it.
    pub fn wait_for_apply(&self) {
        let mut entered = self.entered.lock();
        self.entering
            .wait_while(&mut entered, |entered| *entered == 0);
    }
}

impl Default for FakeControl {
    fn default() -> Self {
        Self {
            facts: facts(),
            mirror: Mutex::default(),
            learned: Mutex::default(),
            neighbours: Mutex::default(),
            metadata: Mutex::default(),
            sessions: Mutex::default(),
            pools: Mutex::default(),
            tenants: Mutex::default(),
            events: Mutex::default(),
            explained: Mutex::default(),
            capacity: usize::MAX,
            mirrors: true,
            applied: AtomicU64::new(0),
            sick: AtomicBool::new(false),
            gate: Mutex::new(()),
            entered: Mutex::new(0),
            entering: Condvar::new(),
        }
    }
}

impl Mirror {
    fn names<K: Kind>(&mut self, changes: &Changes<'_>) {
        // What goes first: a name may come back under another handle within one transaction.
        for Change { handle, old, new } in changes.of::<K>() {
            let at = (K::NAME, handle.index());
            if let (Some(old), None) = (old, new) {
                assert_eq!(
                    self.names.remove(&at),
                    Some(old.key(changes.before).to_string())
                );
            }
        }
        for Change { handle, old, new } in changes.of::<K>() {
            let at = (K::NAME, handle.index());
            if let Some(new) = new {
                let name = new.key(changes.after).to_string();
                let was = self.names.insert(at, name.clone());
                assert_eq!(
                    was,
                    old.map(|_| name),
                    "a record appears and disappears once"
                );
            }
        }
    }

    fn apply(&mut self, changes: &Changes<'_>) {
        self.names::<Interface>(changes);
        self.names::<Host>(changes);
        self.names::<Network>(changes);
        self.names::<mgmt_api::resources::Port>(changes);
        self.names::<mgmt_api::resources::StaticFdb>(changes);
        self.names::<mgmt_api::resources::Router>(changes);
        self.names::<mgmt_api::resources::RouterRoute>(changes);
        self.names::<mgmt_api::resources::FloatingIp>(changes);
        self.names::<mgmt_api::resources::Tenant>(changes);
        self.names::<mgmt_api::resources::NatSettings>(changes);
        let ports = changes.ports().map(|change| {
            let of = |port: &mgmt_api::resources::Port| (port.network, port.mac, port.location);
            (change.old.map(of), change.new.map(of))
        });
        let entries = changes.fdb().map(|change| {
            let of = |own: &mgmt_api::resources::StaticFdb| (own.network, own.mac, own.location);
            (change.old.map(of), change.new.map(of))
        });
        let all: Vec<_> = ports.chain(entries).collect();
        for (network, mac, location) in all.iter().filter_map(|(old, _)| *old) {
            assert_eq!(self.fdb.remove(&(network, mac)), Some(location));
        }
        for (network, mac, location) in all.iter().filter_map(|(_, new)| *new) {
            assert_eq!(self.fdb.insert((network, mac), location), None);
        }
        for change in changes.bindings() {
            let Attachment { interface, tag } = change.attachment;
            let interface = changes.after.get(interface);
            let interface = interface.or_else(|| changes.before.get(change.attachment.interface));
            let slot = (interface.unwrap().device.0, tag.map(|tag| tag.vid));
            match change.new {
                Some(network) => self.slots.insert(slot, network),
                None => self.slots.remove(&slot),
            };
            let was = match change.new {
                Some(network) => self.bindings.insert(change.attachment, network),
                None => self.bindings.remove(&change.attachment),
            };
            assert_eq!(was, change.old);
        }
        for change in changes.members() {
            let member = (change.network, change.host);
            let was = match change.joins {
                true => self.members.insert(member, ()).is_some(),
                false => self.members.remove(&member).is_some(),
            };
            assert_ne!(was, change.joins);
        }
    }
}

fn cursor(place: usize) -> SessionCursor {
    SessionCursor {
        worker: 0,
        place: place as u32,
    }
}

/// True if all filters of the query fit.
fn fits(query: &SessionQuery, row: &SessionRow) -> bool {
    let end = |own: std::net::SocketAddr, address: Option<std::net::IpAddr>, port: Option<u16>| {
        address.is_none_or(|address| address == own.ip())
            && port.is_none_or(|port| port == own.port())
    };
    query.router.is_none_or(|router| router == row.router)
        && query
            .protocol
            .is_none_or(|protocol| protocol == row.protocol)
        && query.state.is_none_or(|state| state == row.state)
        && end(row.inside, query.inside, query.inside_port)
        && end(row.outside, query.outside, query.outside_port)
        && end(row.remote, query.remote, query.remote_port)
}

impl ControlPlane for FakeControl {
    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn apply(&self, changes: &Changes<'_>) -> Result<(), Refusal> {
        *self.entered.lock() += 1;
        self.entering.notify_all();
        drop(self.gate.lock());
        self.applied.fetch_add(1, Ordering::SeqCst);
        if !self.mirrors {
            let touched = changes
                .ports()
                .filter(|change| change.new.is_some())
                .count();
            assert!(touched <= self.capacity);
            return Ok(());
        }
        let mut mirror = self.mirror.lock();
        let comes = changes
            .ports()
            .filter(|change| change.old.is_none())
            .count();
        let goes = changes
            .ports()
            .filter(|change| change.new.is_none())
            .count();
        if (mirror.fdb.len() + comes).saturating_sub(goes) > self.capacity {
            let full = changes.ports().find(|change| change.old.is_none()).unwrap();
            let message = format!("the MAC table holds {} entries and is full", self.capacity);
            let refusal = Refusal::new(Code::TableFull, message).at("/mac");
            return Err(refusal.of(changes.after.name_of(full.handle)));
        }
        mirror.apply(changes);
        Ok(())
    }

    fn health(&self) -> Result<(), String> {
        match self.sick.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err("worker 0 has not polled for 5 seconds".to_owned()),
        }
    }

    fn interfaces(&self) -> Vec<InterfaceStatus> {
        let names = &self.mirror.lock().names;
        let rx = Traffic {
            packets: 10,
            bytes: 640,
            dropped: 1,
            errors: 2,
        };
        let status = |device: &Device| {
            let mut used = names
                .iter()
                .filter(|((kind, _), _)| *kind == Interface::NAME);
            InterfaceStatus {
                id: used
                    .find(|(_, name)| **name == device.name)
                    .map(|(_, id)| id.parse().unwrap()),
                device: device.name.clone(),
                driver: device.driver.clone(),
                mac: device.mac,
                mtu: device.mtu,
                link_up: true,
                speed_mbps: Some(10_000),
                rx,
                tx: Traffic::default(),
            }
        };
        self.facts.devices.iter().map(status).collect()
    }

    fn workers(&self) -> Vec<WorkerStatus> {
        let stage = |stage: &str| StageCycles {
            stage: stage.to_owned(),
            packets: 10,
            cycles: 400,
        };
        vec![WorkerStatus {
            worker: 0,
            core: 3,
            running: true,
            iterations: 1000,
            busy: 0.25,
            packets: 10,
            handed_over: 4,
            taken_over: 3,
            kept: 2,
            nat_refused: 1,
            stages: vec![stage("parse"), stage("bridge")],
        }]
    }

    fn drops(&self) -> Vec<DropCount> {
        let count = |reason: &str, packets| DropCount {
            reason: reason.to_owned(),
            description: "The VNI belongs to no network here.".to_owned(),
            interface: None,
            packets,
        };
        vec![count("vni-unknown", 7), count("ttl-expired", 0)]
    }

    fn tables(&self) -> Vec<TableStatus> {
        let used = self.mirror.lock().fdb.len() as u64;
        vec![TableStatus {
            name: "fdb".to_owned(),
            capacity: self.capacity as u64,
            used,
            high_water: used,
            failed_inserts: 0,
        }]
    }

    fn fdb(&self, network: Handle<Network>, after: Option<Mac>, limit: usize) -> Vec<FdbEntry> {
        let mirror = self.mirror.lock();
        let learned = self.learned.lock();
        let configured = mirror.fdb.iter().map(|((network, mac), location)| {
            let location = match *location {
                Location::Remote(host) => FdbLocation::Remote(host),
                Location::Local(attachment) => FdbLocation::Local(attachment),
            };
            (
                *network,
                FdbEntry {
                    mac: *mac,
                    location,
                    learned_age: None,
                },
            )
        });
        let learned = learned.iter().map(|((network, mac), attachment)| {
            let location = FdbLocation::Local(*attachment);
            (
                *network,
                FdbEntry {
                    mac: *mac,
                    location,
                    learned_age: Some(12),
                },
            )
        });
        let mut all: Vec<_> = configured
            .chain(learned)
            .filter(|(own, entry)| *own == network && after.is_none_or(|after| entry.mac > after))
            .map(|(_, entry)| entry)
            .collect();
        all.sort_by_key(|entry| entry.mac);
        all.truncate(limit);
        all
    }

    fn forget_learned(&self, which: Forget) -> u64 {
        let mut learned = self.learned.lock();
        let before = learned.len();
        learned.retain(|(network, mac), _| {
            which.network.is_some_and(|own| own != *network)
                || which.mac.is_some_and(|own| own != *mac)
        });
        (before - learned.len()) as u64
    }

    fn neighbours(&self, _network: Handle<Network>) -> Vec<Neighbour> {
        self.neighbours.lock().clone()
    }

    fn metadata(&self, first: Ipv4Addr, limit: usize) -> Vec<MetadataAsker> {
        let known = self.metadata.lock();
        let known = known.iter().filter(|asker| asker.address >= first);
        known.take(limit).cloned().collect()
    }

    /// Forwards what was made of fields as a frame of zeros, and drops frames that were given whole.
    fn explain(&self, _view: View<'_>, query: &ExplainQuery) -> Result<Explanation, Refusal> {
        *self.explained.lock() = Some(query.clone());
        let step = |stage: &str, code: &str, text: &str, entry| Step {
            stage: stage.to_owned(),
            code: code.to_owned(),
            text: text.to_owned(),
            entry,
        };
        let entry = serde_json::json!({"network": "blue"});
        let mut steps = vec![step(
            "input",
            "bound",
            "it belongs to network blue",
            Some(entry),
        )];
        Ok(match &query.frame {
            ExplainFrame::Raw(frame) => {
                steps.push(step("decide", "vni-unknown", "it goes no further", None));
                Explanation {
                    frame: frame.clone(),
                    steps,
                    outcome: Outcome::Dropped,
                    drop: Some(DropExplanation {
                        reason: "vni-unknown".to_owned(),
                        description: "The VNI belongs to no network here.".to_owned(),
                    }),
                    packets: Vec::new(),
                }
            }
            ExplainFrame::Packet(packet) => Explanation {
                frame: vec![0; 14 + usize::from(packet.length)],
                steps,
                outcome: Outcome::Forwarded,
                drop: None,
                packets: vec![SentPacket {
                    interface: "eth1".parse().unwrap(),
                    bytes: vec![0xab; 60],
                    summary: format!("{} > {}", packet.source, packet.destination),
                }],
            },
        })
    }

    /// Looks at two places at a time, as workers look at a part of their tables.
    fn sessions(&self, query: &SessionQuery) -> Result<SessionPage, Refusal> {
        let sessions = self.sessions.lock();
        let first = query.cursor.map_or(0, |cursor| cursor.place as usize);
        let last = (first + 2).min(sessions.len());
        let mut page = SessionPage::default();
        for (place, row) in sessions.iter().enumerate().take(last).skip(first) {
            if page.rows.len() == query.limit {
                page.next = Some(cursor(place));
                return Ok(page);
            }
            if fits(query, row) {
                page.rows.push(*row);
            }
        }
        page.next = (last < sessions.len()).then(|| cursor(last));
        Ok(page)
    }

    fn delete_sessions(&self, query: &SessionQuery) -> Result<u64, Refusal> {
        let mut sessions = self.sessions.lock();
        let before = sessions.len();
        sessions.retain(|row| !fits(query, row));
        Ok((before - sessions.len()) as u64)
    }

    fn nat_pools(&self) -> Result<Vec<NatPool>, Refusal> {
        Ok(self.pools.lock().clone())
    }

    fn nat_tenants(&self) -> Result<Vec<NatTenant>, Refusal> {
        Ok(self.tenants.lock().clone())
    }

    fn set_events(&self, events: EventSink) {
        *self.events.lock() = Some(events);
    }

    fn underlay_neighbours(&self) -> Vec<UnderlayNeighbour> {
        vec![UnderlayNeighbour {
            interface: "eth0".parse().unwrap(),
            address: "192.0.2.1".parse().unwrap(),
            mac: Some(Mac([2, 0, 0, 0, 1, 1])),
            state: NeighbourState::Reachable,
            age_seconds: Some(3),
            hosts: vec!["h1".parse().unwrap()],
        }]
    }
}
