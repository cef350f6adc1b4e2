//! What `docs/` says of the packet path is what the code does: a row for every drop
//! reason in `operations.md`, and in `packet-walk.md` the bytes of the golden packets
//! and the decisions about them. And its links lead somewhere.

mod common;

use common::{Golden, GoldenRole, SOURCE_PORT, golden_host};
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

/// Input and output of a golden packet.
fn golden(name: &str) -> (Vec<u8>, Vec<u8>) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/neutron.json");
    let cases: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let case = cases
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["name"].as_str().unwrap().starts_with(name))
        .unwrap();
    let bytes = |hex: &serde_json::Value| craft::hex(hex.as_str().unwrap());
    (bytes(&case["in"]), bytes(&case["out"][0]["hex"]))
}

fn h1() -> Golden {
    golden_host(GoldenRole::H1)
}

fn h2() -> Golden {
    golden_host(GoldenRole::H2)
}

#[test]
fn the_packet_walk_has_the_decisions_that_are_made() {
    let walk = document("packet-walk.md");
    for (name, mut host) in [
        ("E2 same-net diff-host (H1 tx)", h1()),
        ("E2 same-net diff-host (H2 rx)", h2()),
        ("A2", h1()),
        ("A3", h1()),
    ] {
        let (frame, _) = golden(name);
        let interface = if name.ends_with("rx)") {
            host.underlay
        } else {
            host.access
        };
        let decisions: Vec<String> = host
            .bench
            .send(interface, &frame)
            .decisions
            .iter()
            .map(|decision| format!("{decision:?}"))
            .collect();
        println!("{name}\n{}\n", decisions.join("\n"));
        assert!(
            walk.contains(&decisions.join("\n")),
            "{name}: the walk must have\n{}",
            decisions.join("\n")
        );
    }
}

#[test]
fn the_packet_walk_has_the_bytes_that_are_sent() {
    let (_, mut sent) = golden("E2 same-net diff-host (H1 tx)");
    let text = document("packet-walk.md");
    let hex: String = rows(&text, "## The outer header")
        .iter()
        .map(|row| row[0].replace(['`', ' '], ""))
        .collect();
    let mut shown = craft::hex(&hex);
    let header = shown.len();
    assert_eq!(header, 50);
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
