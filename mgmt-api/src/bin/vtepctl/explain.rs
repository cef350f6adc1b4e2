//! What happens to a packet, asked and shown.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value, json};

/// The bytes of a line of a dump.
const LINE: usize = 16;

#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// tcp/PORT, udp/PORT, icmp, arp, nd, or the number of an IP protocol
    #[arg(default_value = "icmp")]
    protocol: String,
    /// The port that sends it
    #[arg(long)]
    from: Option<String>,
    /// The port or address it is for
    #[arg(long)]
    to: Option<String>,
    /// Without --from: the interface it comes in by
    #[arg(long)]
    interface: Option<String>,
    /// The frame in hexadecimal, as it would arrive on the interface
    #[arg(long, requires = "interface")]
    hex: Option<String>,
    /// The source MAC address
    #[arg(long)]
    source_mac: Option<String>,
    /// The destination MAC address
    #[arg(long)]
    destination_mac: Option<String>,
    /// The tag it bears on the interface
    #[arg(long)]
    vlan: Option<u16>,
    /// The tag's type: 802.1q or 802.1ad
    #[arg(long)]
    tpid: Option<String>,
    /// The source address
    #[arg(long)]
    source: Option<String>,
    /// The destination address
    #[arg(long)]
    destination: Option<String>,
    /// The source port
    #[arg(long)]
    source_port: Option<u16>,
    /// TTL or hop limit
    #[arg(long)]
    ttl: Option<u8>,
    /// Bytes of the IP packet
    #[arg(long)]
    length: Option<u16>,
    /// Set IPv4's "don't fragment" flag
    #[arg(long)]
    dont_fragment: bool,
    /// Show the table entry behind each decision too
    #[arg(long, short)]
    pub verbose: bool,
}

impl ExplainOptions {
    pub fn document(&self) -> Value {
        let fields = [
            ("from", self.from.clone().map(Value::from)),
            ("to", self.to.clone().map(Value::from)),
            ("interface", self.interface.clone().map(Value::from)),
            ("source_mac", self.source_mac.clone().map(Value::from)),
            (
                "destination_mac",
                self.destination_mac.clone().map(Value::from),
            ),
            ("vlan", self.vlan.map(Value::from)),
            ("tpid", self.tpid.clone().map(Value::from)),
            ("source", self.source.clone().map(Value::from)),
            ("destination", self.destination.clone().map(Value::from)),
            ("source_port", self.source_port.map(Value::from)),
            ("ttl", self.ttl.map(Value::from)),
            ("length", self.length.map(Value::from)),
            ("frame", self.hex.clone().map(Value::from)),
        ];
        let mut document: Map<String, Value> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        if self.hex.is_none() {
            document.insert("protocol".to_owned(), self.protocol.clone().into());
        }
        if self.dont_fragment {
            document.insert("dont_fragment".to_owned(), json!(true));
        }
        document.into()
    }
}

/// One line for each decision, what came of it, and the frames that left.
pub fn print(out: &mut impl Write, explanation: &Value, verbose: bool) -> io::Result<()> {
    let steps = array(&explanation["steps"]);
    let width = |name: &str| {
        let lengths = steps.iter().map(|step| text(&step[name]).len());
        lengths.max().unwrap_or(0)
    };
    let (stage, code) = (width("stage"), width("code"));
    for step in steps {
        writeln!(
            out,
            "{:stage$}  {:code$}  {}",
            text(&step["stage"]),
            text(&step["code"]),
            text(&step["text"])
        )?;
        if verbose && !step["entry"].is_null() {
            writeln!(out, "{:stage$}  {:code$}  {}", "", "", step["entry"])?;
        }
    }
    let drop = &explanation["drop"];
    match drop["reason"].as_str() {
        Some(reason) => writeln!(out, "dropped: {reason}, {}", text(&drop["description"]))?,
        None => writeln!(out, "{}", text(&explanation["outcome"]))?,
    }
    for packet in array(&explanation["packets"]) {
        writeln!(
            out,
            "\n{}: {}",
            text(&packet["interface"]),
            text(&packet["summary"])
        )?;
        dump(out, text(&packet["bytes"]))?;
    }
    Ok(())
}

/// Hexadecimal digits as lines of sixteen octets, with the offset before them.
fn dump(out: &mut impl Write, digits: &str) -> io::Result<()> {
    let octets: Vec<&str> = (0..digits.len())
        .step_by(2)
        .filter_map(|at| digits.get(at..at + 2))
        .collect();
    for (line, octets) in octets.chunks(LINE).enumerate() {
        let (left, right) = octets.split_at(octets.len().min(LINE / 2));
        let shown = format!("{}  {}", left.join(" "), right.join(" "));
        writeln!(out, "  {:04x}  {}", line * LINE, shown.trim_end())?;
    }
    Ok(())
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
