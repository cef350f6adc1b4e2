//! What `docs/` says of the packet path is what the code does: a row for every drop
//! reason in `operations.md`, and in `packet-walk.md` the bytes of the golden packets
//! and the decisions about them. And its links lead somewhere.

mod common;

use common::{
    GOLDEN_EXTERNAL, Golden, GoldenRole, Outcome, SOURCE_PORT, golden_compute, golden_host,
    golden_node,
};
use vtepd_datapath::DropReason;
use vtepd_wire::craft;

fn document(name: &str) -> String {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The cells of the rows, those that begin with code, of the tables below a heading.
fn rows<'t>(text: &'t str, heading: &str) -> Vec<Vec<&'t str>> {
    text.lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_drop_reason_is_documented_as_it_is() {
    let text = document("operations.md");
    let rows = rows(&text, "## Drop reasons");
    for (reason, row) in DropReason::ALL.iter().zip(&rows) {
        let [name, meaning, action] = row[..] else {
            panic!("a row of three cells is needed: {row:?}");
        };
        assert_eq!(name, format!("`{}`", reason.name()));
        assert_eq!(meaning, reason.description(), "{name}");
        assert!(action.len() > 10, "{name}: what is to be done?");
    }
    assert_eq!(rows.len(), DropReason::COUNT);
}

/// Input and output of a golden packet; empty where it has none.
fn golden(name: &str) -> (Vec<u8>, Vec<u8>) {
    golden_of("neutron.json", name)
}

fn golden_of(file: &str, name: &str) -> (Vec<u8>, Vec<u8>) {
    let file = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let cases: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let case = cases
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["name"].as_str().unwrap().starts_with(name))
        .unwrap();
    let bytes = |hex: &serde_json::Value| craft::hex(hex.as_str().unwrap_or_default());
    (bytes(&case["in"]), bytes(&case["out"][0]["hex"]))
}

const E4_OUT: &str = "E4 diff-net diff-host (H1 tx)";
const E4_IN: &str = "E4 diff-net diff-host (H2 rx)";
const H1: GoldenRole = GoldenRole::H1;
const H2: GoldenRole = GoldenRole::H2;

/// The golden packets that the walk follows, and the host that it follows them on.
const WALKED: [(&str, GoldenRole); 10] = [
    ("E2 same-net diff-host (H1 tx)", H1),
    ("E2 same-net diff-host (H2 rx)", H2),
    ("E3", GoldenRole::Together),
    (E4_OUT, H1),
    (E4_IN, H2),
    ("A1", H1),
    ("A2", H1),
    ("A3", H1),
    ("A4", H1),
    ("G1", H1),
];

/// Those that go outside or come from there.
const WALKED_OUTSIDE: [&str; 7] = ["S1", "S2", "S3", "S4", "F1", "F2", "F3"];

/// Ethernet, IPv4, UDP and VXLAN before a frame.
const OUTER: usize = 50;

/// Frames of the underlay go to these MACs.
const UNDERLAY: [u8; 5] = [0x02, 0, 0, 0, 0x01];

fn send(name: &str, host: &mut Golden) -> Outcome {
    let (frame, _) = golden(name);
    let interface = match name {
        "S3" | "F2" | "F3" => GOLDEN_EXTERNAL,
        _ if frame.starts_with(&UNDERLAY) => host.underlay,
        _ => host.access,
    };
    host.bench.send(interface, &frame)
}

fn has_decisions(walk: &str, name: &str, outcome: &Outcome) {
    let decisions: Vec<String> = outcome
        .decisions
        .iter()
        .map(|decision| format!("{decision:?}"))
        .collect();
    let decisions = decisions.join("\n");
    assert!(
        walk.contains(&format!("```text\n{decisions}\n```")),
        "{name}: the walk must have\n{decisions}"
    );
}

#[test]
fn the_packet_walk_has_the_decisions_that_are_made() {
    let walk = document("packet-walk.md");
    for (name, role) in WALKED.into_iter().chain([("M1", H1)]) {
        let outcome = send(name, &mut golden_host(role));
        has_decisions(&walk, name, &outcome);
    }
    let mut host = golden_host(H1);
    let outcome = host.bench.send(host.access, &to_an_unknown_neighbour());
    has_decisions(&walk, "P1", &outcome);
    // The session of S2 is what S3 belongs to.
    let mut node = golden_node();
    for name in WALKED_OUTSIDE {
        let outcome = match &name[..1] {
            "F" => send(name, &mut golden_compute(true)),
            _ if name == "S1" => send(name, &mut golden_compute(false)),
            _ => send(name, &mut node),
        };
        has_decisions(&walk, name, &outcome);
    }
}

/// VM1 pings the address that P1 asks for.
fn to_an_unknown_neighbour() -> Vec<u8> {
    craft::ethernet("fa:16:3e:5b:89:14", "fa:16:3e:9a:b7:d4")
        .ipv4("192.168.1.9", "192.168.2.50")
        .icmp_echo(1, 1, b"vtepd")
}

/// The packets that a document shows: in blocks of code, lines that begin with bytes in
/// hexadecimal, after "in" or "out" or by themselves.
fn shown(document: &str) -> Vec<Vec<u8>> {
    let is_hex = |word: &&str| {
        let digits = word.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        digits && word.len().is_multiple_of(2)
    };
    let mut packets: Vec<Vec<u8>> = vec![];
    for block in document.split("```").skip(1).step_by(2) {
        packets.push(vec![]);
        for line in block.lines() {
            let words = line.trim_start_matches("out").trim_start_matches("in");
            if words.len() < line.len() {
                packets.push(vec![]);
            }
            let hex: String = words.split_whitespace().take_while(is_hex).collect();
            if let Some(packet) = packets.last_mut() {
                packet.extend(craft::hex(&hex));
            }
        }
    }
    packets
}

#[test]
fn the_packet_walk_has_the_packets_that_come_and_go() {
    let shown = shown(&document("packet-walk.md"));
    let must_have = |packet: &[u8], what: &str| {
        let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(shown.iter().any(|shown| shown == packet), "{what}: {hex}");
    };
    // What is in the tunnel; the header of the tunnel has a table of its own.
    let inner = |frame: &[u8]| {
        let outer = if frame.starts_with(&UNDERLAY) {
            OUTER
        } else {
            0
        };
        frame[outer..].to_vec()
    };
    let names = WALKED.map(|(name, _)| name);
    for name in names.into_iter().chain(WALKED_OUTSIDE) {
        let (frame, sent) = golden(name);
        must_have(&inner(&frame), name);
        if !sent.is_empty() {
            must_have(&inner(&sent), name);
        }
    }
    for name in ["P1", "F4"] {
        must_have(&inner(&golden(name).1), name);
    }
    for name in [E4_OUT, E4_IN] {
        let (frame, sent) = golden_of("vlan.json", name);
        must_have(&frame, name);
        must_have(&sent, name);
    }
}

/// Of the too big packet and the error about it, the walk shows the headers.
#[test]
fn the_packet_walk_has_the_error_about_a_packet_that_is_too_big() {
    let shown = shown(&document("packet-walk.md"));
    let (frame, _) = golden("M1");
    let outcome = send("M1", &mut golden_host(H1));
    let (_, sent) = outcome.one();
    let headers = [&frame[..14 + 28], &sent[..14 + 28]];
    assert!(
        headers
            .iter()
            .all(|headers| shown.iter().any(|shown| shown == headers))
    );
}

#[test]
fn the_packet_walk_has_the_bytes_that_are_sent() {
    let (_, mut sent) = golden("E2 same-net diff-host (H1 tx)");
    let text = document("packet-walk.md");
    let hex: String = rows(&text, "### The outer header")
        .iter()
        .map(|row| row[0].replace(['`', ' '], ""))
        .collect();
    let mut shown = craft::hex(&hex);
    let header = shown.len();
    assert_eq!(header, OUTER);
    sent[SOURCE_PORT].fill(0);
    shown[SOURCE_PORT].fill(0);
    assert_eq!(shown, sent[..header]);
}

/// The anchor that a heading gets: lower case, spaces as hyphens, without punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents = vec![root.join("README.md")];
    let files = std::fs::read_dir(root.join("docs")).unwrap().flatten();
    documents.extend(
        files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
    );
    let mut links = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", document.display());
            if !fragment.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line.trim_start_matches('#').trim()) == fragment),
                    "{}: {link}",
                    document.display()
                );
            }
            links += 1;
        }
    }
    assert!(links > 20);
}
