//! One packet through the workers' own code, told step by step.

use super::routers::ROUTED;
use super::*;

use std::time::Duration;

use mgmt_api::control::ControlPlane as _;
use mgmt_api::explain::{ExplainFrame, ExplainQuery, Explanation, Outcome};
use mgmt_api::resources::Interface;

const GW_RED: &str = "fa:16:3e:01:00:01";
const RED1: &str = "fa:16:3e:00:01:05";

impl Bench {
    fn explain(&self, interface: &str, frame: Vec<u8>) -> Explanation {
        self.manager.read(|state| {
            let view = state.view();
            let query = ExplainQuery {
                interface: view.find::<Interface>(&interface.parse().unwrap()).unwrap(),
                frame: ExplainFrame::Raw(frame),
            };
            self.plane.explain(view, &query).unwrap()
        })
    }

    /// All that a packet could change.
    fn traces(&self) -> (Vec<u64>, bool, usize) {
        let counters = &self.worker.counters;
        let mut counts: Vec<u64> = DropReason::ALL
            .iter()
            .map(|reason| counters.drops(*reason))
            .collect();
        counts.extend([
            counters.packets.get(),
            counters.routed.get(),
            counters.originated.get(),
        ]);
        let channel = &self.worker.channel;
        let queued = channel.asked.is_empty()
            && channel.commands.is_empty()
            && channel.deliveries.is_empty();
        (
            counts,
            queued,
            self.plane.control.lock().tables.fdb.usage().used,
        )
    }
}

fn codes(explanation: &Explanation) -> Vec<&str> {
    explanation
        .steps
        .iter()
        .map(|step| step.code.as_str())
        .collect()
}

fn from_red1(to: &str) -> Vec<u8> {
    let to: std::net::Ipv4Addr = to.parse().unwrap();
    craft::ethernet(GW_RED, RED1)
        .vlan(11)
        .ipv4("10.1.0.5", to)
        .udp(1, 2, b"")
}

#[test]
fn every_decision_is_a_step_and_nothing_is_changed() {
    let bench = Bench::connected(ROUTED);
    let before = bench.traces();
    let routed = bench.explain("trunk", from_red1("10.2.0.6"));
    assert_eq!(
        codes(&routed),
        ["bound", "gateway", "route", "neighbour", "out"]
    );
    assert_eq!(routed.outcome, Outcome::Forwarded);
    assert_eq!(routed.packets.len(), 1);
    let summary = &routed.packets[0].summary;
    assert!(
        summary.contains("VXLAN 1672") && summary.contains("TTL 63"),
        "{summary}"
    );
    assert!(
        routed.steps[2].text.contains("r1") && routed.steps[2].text.contains("blue"),
        "{:?}",
        routed.steps[2]
    );

    let nowhere = bench.explain("trunk", from_red1("203.0.113.1"));
    assert_eq!(nowhere.outcome, Outcome::Dropped);
    assert_eq!(nowhere.drop.unwrap().reason, "no-route");
    assert!(
        nowhere.packets[0].summary.contains("ICMP type 3 code 0"),
        "the sender is told"
    );

    let who_has = craft::ethernet(BROADCAST, RED1)
        .vlan(11)
        .arp_request("10.1.0.5", "10.1.0.1");
    let answered = bench.explain("trunk", who_has);
    assert_eq!(answered.outcome, Outcome::Answered);
    assert!(answered.packets[0].summary.contains("ARP 10.1.0.1 is at"));

    let held = bench.explain("trunk", from_red1("10.2.0.200"));
    assert_eq!(held.outcome, Outcome::Held);
    assert!(
        codes(&held).ends_with(&["wanted", "held"]),
        "{:?}",
        codes(&held)
    );

    let spoofed = craft::ethernet(GW_RED, RED1)
        .vlan(11)
        .ipv4("10.1.0.77", "10.2.0.6")
        .udp(1, 2, b"");
    let spoofed = bench.explain("trunk", spoofed);
    assert_eq!(
        spoofed.drop.unwrap().reason,
        DropReason::SpoofedAddress.name()
    );

    let answer = craft::ethernet(RED1, "fa:16:3f:00:00:02")
        .ipv4("10.2.0.6", "10.1.0.5")
        .udp(2, 1, b"");
    let arrived = bench.explain("up0", outer(1671, &answer));
    assert_eq!(
        codes(&arrived),
        ["underlay", "terminated", "from-host", "known", "out"]
    );
    assert_eq!(bench.traces(), before);
    bench.tick();
    assert_eq!(bench.traces(), before, "and nobody was told");
}

/// Whoever explains must not keep the writer waiting, nor wait for it himself.
#[test]
fn questions_and_transactions_do_not_wait_for_each_other() {
    let state = ROUTED.replace(
        r#""vni": 1671 } }"#,
        r#""vni": 1671 }, "subnets": [{ "cidr": "10.1.0.0/24" }] }"#,
    );
    let bench = Bench::connected(&state);
    let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
    message.resize(28, 0);
    message.extend([0xfa, 0x16, 0x3e, 0, 1, 5]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    let discover = craft::ethernet(BROADCAST, RED1)
        .vlan(11)
        .ipv4("0.0.0.0", "255.255.255.255")
        .udp(68, 67, &message);
    std::thread::scope(|scope| {
        let control = &bench.plane.control;
        let mut writer = control.lock();
        let explaining = scope.spawn(|| bench.explain("trunk", discover));
        // It comes as far as the lock, and waits there.
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(200) {
            assert!(writer.tables.synchronize(), "the writer waits for it");
        }
        assert!(!explaining.is_finished());
        drop(writer);
        assert_eq!(explaining.join().unwrap().outcome, Outcome::Answered);
    });
}
