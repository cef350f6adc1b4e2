//! DHCPv4 options: from names or codes and text, as operators write them, to the bytes that clients get, and back.
//!
//! ```text
//!  "domain-name": "example.org"  ◀──▶  15, b"example.org"
//!  "ntp-servers": "192.0.2.1"    ◀──▶  42, [192, 0, 2, 1]
//!  "224": "0x0102"               ◀──▶  224, [1, 2]         (a code without a name: hexadecimal, or text as it is)
//! ```
//!
//! Names are those of the IANA registry in lower case, with the ones dnsmasq uses (and Neutron's users know) beside them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::document::pointer_token;
use crate::refusal::Refusal;

/// The most bytes of one option: its length is one byte (RFC 2132 §2).
const MAX_BYTES: usize = 255;
/// The name of what is no option but a field of the header, `siaddr`: where the boot file is fetched from.
const NEXT_SERVER: &str = "server-ip-address";

/// Options as they stand in a document.
pub type DhcpOptionsSpec = BTreeMap<String, String>;

/// A DHCPv4 option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpOption {
    /// Its code, 1 to 254.
    pub code: u8,
    /// Its value, 1 to 255 bytes.
    pub data: Box<[u8]>,
}

/// What a DHCPv4 server tells beside what follows from the subnet, the network and the port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DhcpOptions {
    /// The header's `siaddr`: the server of the next step of booting.
    pub next_server: Option<Ipv4Addr>,
    /// By code, each once.
    pub options: Box<[DhcpOption]>,
}

/// Whose options they are: what has a field of its own there is no option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Subnet,
    Port,
}

/// How the value of an option is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Text without control characters.
    Text,
    /// One IPv4 address.
    Address,
    /// IPv4 addresses, separated by commas.
    Addresses,
    /// Domain names, separated by commas (RFC 3397, sent without compression).
    Names,
    U8,
    /// Not below the number.
    U16(u16),
    U32,
    I32,
    /// `true` or `false`.
    Bool,
    /// `0x` and hexadecimal octets, or text.
    Bytes,
}

/// Codes with a name. The first name of a code is the one that is shown.
const NAMES: [(u8, &str, Form); 45] = [
    (2, "time-offset", Form::I32),
    (4, "time-servers", Form::Addresses),
    (6, "dns-servers", Form::Addresses),
    (6, "dns-server", Form::Addresses),
    (7, "log-servers", Form::Addresses),
    (7, "log-server", Form::Addresses),
    (9, "lpr-servers", Form::Addresses),
    (13, "boot-file-size", Form::U16(0)),
    (15, "domain-name", Form::Text),
    (16, "swap-server", Form::Address),
    (17, "root-path", Form::Text),
    (18, "extension-path", Form::Text),
    (19, "ip-forward-enable", Form::Bool),
    (23, "default-ttl", Form::U8),
    (26, "mtu", Form::U16(68)),
    (26, "interface-mtu", Form::U16(68)),
    (35, "arp-timeout", Form::U32),
    (40, "nis-domain", Form::Text),
    (41, "nis-servers", Form::Addresses),
    (41, "nis-server", Form::Addresses),
    (42, "ntp-servers", Form::Addresses),
    (42, "ntp-server", Form::Addresses),
    (43, "vendor-encap", Form::Bytes),
    (44, "netbios-name-servers", Form::Addresses),
    (44, "netbios-ns", Form::Addresses),
    (45, "netbios-datagram-servers", Form::Addresses),
    (45, "netbios-dd", Form::Addresses),
    (46, "netbios-node-type", Form::U8),
    (46, "netbios-nodetype", Form::U8),
    (47, "netbios-scope", Form::Text),
    (66, "tftp-server-name", Form::Text),
    (66, "tftp-server", Form::Text),
    (67, "bootfile-name", Form::Text),
    (69, "smtp-servers", Form::Addresses),
    (69, "smtp-server", Form::Addresses),
    (70, "pop3-servers", Form::Addresses),
    (70, "pop3-server", Form::Addresses),
    (100, "posix-timezone", Form::Text),
    (101, "tzdb-timezone", Form::Text),
    (114, "captive-portal", Form::Text),
    (119, "domain-search", Form::Names),
    (150, "tftp-server-address", Form::Addresses),
    (209, "pxe-config-file", Form::Text),
    (210, "pxe-path-prefix", Form::Text),
    (252, "wpad", Form::Text),
];

impl DhcpOptions {
    /// True if there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next_server.is_none() && self.options.is_empty()
    }

    /// The value of an option.
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        let at = self
            .options
            .binary_search_by_key(&code, |option| option.code)
            .ok()?;
        Some(&self.options[at].data)
    }

    /// Reads options that stand at the pointer `at`.
    pub(super) fn resolve(spec: &DhcpOptionsSpec, level: Level, at: &str) -> Result<Self, Refusal> {
        let mut next_server = None;
        let mut options: BTreeMap<u8, (Box<[u8]>, &str)> = BTreeMap::new();
        for (key, value) in spec {
            let field = || format!("{at}/{}", pointer_token(key));
            let invalid = |message: String| Refusal::invalid(field(), message);
            if key == NEXT_SERVER {
                next_server = Some(parse_address(value).map_err(invalid)?);
                continue;
            }
            let (code, form) = find(key).map_err(invalid)?;
            if let Some(why) = owned_by_server(code, level) {
                return Err(invalid(format!("option {code} is not given here: {why}")));
            }
            let data = encode(form, value).map_err(invalid)?;
            if let Some((_, other)) = options.insert(code, (data.into(), key)) {
                let message =
                    format!("option {code} is given twice, here and as {other:?}: leave one out");
                return Err(Refusal::conflict(field(), message));
            }
        }
        let options = options.into_iter();
        Ok(Self {
            next_server,
            options: options
                .map(|(code, (data, _))| DhcpOption { code, data })
                .collect(),
        })
    }

    /// The options again, by name where there is one.
    pub(super) fn spec(&self) -> DhcpOptionsSpec {
        let next_server = self.next_server.iter();
        let mut spec: DhcpOptionsSpec = next_server
            .map(|address| (NEXT_SERVER.to_owned(), address.to_string()))
            .collect();
        spec.extend(self.options.iter().map(|option| {
            let named = NAMES.iter().find(|(code, ..)| *code == option.code);
            match named {
                Some((_, name, form)) => ((*name).to_owned(), decode(*form, &option.data)),
                None => (option.code.to_string(), decode(Form::Bytes, &option.data)),
            }
        }));
        spec
    }
}

/// The code and form of an option by its name or code.
fn find(key: &str) -> Result<(u8, Form), String> {
    if let Some((code, _, form)) = NAMES.iter().find(|(_, name, _)| *name == key) {
        return Ok((*code, *form));
    }
    let is_number = !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit());
    match key.parse::<u8>().ok().filter(|_| is_number) {
        Some(code @ 1..=254) => {
            let named = NAMES.iter().find(|(own, ..)| *own == code);
            Ok((code, named.map_or(Form::Bytes, |(_, _, form)| *form)))
        }
        _ if is_number => Err(format!("the code of an option is 1 to 254, not {key}")),
        _ => {
            let names = NAMES.iter().map(|(_, name, _)| *name);
            let names = names.collect::<Vec<_>>().join(", ");
            Err(format!(
                "there is no option {key:?}: give its code, or one of {NEXT_SERVER}, {names}"
            ))
        }
    }
}

/// Why an option is not the operator's to set here.
fn owned_by_server(code: u8, level: Level) -> Option<&'static str> {
    Some(match code {
        1 => "the mask follows from the subnet's `cidr`",
        3 => "the router is the subnet's `gateway`",
        6 if level == Level::Subnet => "the name servers are the subnet's `dns`",
        12 => "the host name is the port's `hostname`",
        28 => "the broadcast address follows from the subnet's `cidr`",
        51 | 58 | 59 => "the times follow from the subnet's `lease_seconds`",
        50 | 52..=57 | 60 | 61 => "the protocol itself uses it (RFC 2132 section 9)",
        82 => "relays set it (RFC 3046)",
        121 | 249 => "the routes are the subnet's `routes`",
        _ => return None,
    })
}

fn encode(form: Form, value: &str) -> Result<Vec<u8>, String> {
    let number = |range: &str| format!("the value is a number {range}, not {value:?}");
    let data = match form {
        Form::Text => encode_text(value)?,
        Form::Address => parse_address(value)?.octets().to_vec(),
        Form::Addresses => {
            let addresses = value.split(',').map(parse_address);
            let octets = addresses.map(|address| Ok(address?.octets()));
            octets.collect::<Result<Vec<_>, String>>()?.concat()
        }
        Form::Names => {
            let names = value.split(',').map(encode_name);
            names.collect::<Result<Vec<_>, String>>()?.concat()
        }
        Form::U8 => vec![value.parse().map_err(|_| number("0 to 255"))?],
        Form::U16(least) => {
            let parsed: Option<u16> = value.parse().ok().filter(|own| *own >= least);
            let parsed = parsed.ok_or_else(|| number(&format!("{least} to 65535")))?;
            parsed.to_be_bytes().to_vec()
        }
        Form::U32 => {
            let parsed: Result<u32, _> = value.parse();
            let parsed = parsed.map_err(|_| number("0 to 4294967295"))?;
            parsed.to_be_bytes().to_vec()
        }
        Form::I32 => {
            let parsed: Result<i32, _> = value.parse();
            let parsed = parsed.map_err(|_| number("of seconds"))?;
            parsed.to_be_bytes().to_vec()
        }
        Form::Bool => match value {
            "true" => vec![1],
            "false" => vec![0],
            _ => return Err(format!("the value is \"true\" or \"false\", not {value:?}")),
        },
        Form::Bytes => match value.strip_prefix("0x") {
            Some(hex) => decode_hex(hex).ok_or_else(|| {
                format!("after 0x there is an even number of hexadecimal digits, not in {value:?}")
            })?,
            None => encode_text(value)?,
        },
    };
    match data.len() {
        0 => Err("the value is empty".to_owned()),
        1..=MAX_BYTES => Ok(data),
        len => Err(format!(
            "the value comes to {len} bytes, and an option has at most {MAX_BYTES}"
        )),
    }
}

fn decode(form: Form, data: &[u8]) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    let be = |data: &[u8]| {
        data.iter()
            .fold(0_u32, |value, byte| value << 8 | u32::from(*byte))
    };
    match form {
        Form::Text => String::from_utf8_lossy(data).into_owned(),
        Form::Address | Form::Addresses => {
            let addresses = data.as_chunks::<4>().0.iter();
            list(
                addresses
                    .map(|octets| Ipv4Addr::from(*octets).to_string())
                    .collect(),
            )
        }
        Form::Names => list(decode_names(data)),
        Form::U8 | Form::U16(_) | Form::U32 => be(data).to_string(),
        Form::I32 => be(data).cast_signed().to_string(),
        Form::Bool => (data != [0]).to_string(),
        Form::Bytes => match std::str::from_utf8(data) {
            Ok(text) if !text.starts_with("0x") && encode_text(text).is_ok() => text.to_owned(),
            _ => {
                let digits = data.iter().map(|byte| format!("{byte:02x}"));
                format!("0x{}", digits.collect::<String>())
            }
        },
    }
}

fn encode_text(text: &str) -> Result<Vec<u8>, String> {
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("{c:?} is a control character, and this is text")),
        None => Ok(text.as_bytes().to_vec()),
    }
}

fn parse_address(text: &str) -> Result<Ipv4Addr, String> {
    let text = text.trim();
    text.parse()
        .map_err(|_| format!("{text:?} is no IPv4 address"))
}

/// A domain name as labels (RFC 1035 §3.1).
fn encode_name(name: &str) -> Result<Vec<u8>, String> {
    let name = name.trim();
    let mut data = Vec::with_capacity(name.len() + 2);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        if !is_label(label) {
            return Err(format!("{name:?} is no domain name"));
        }
        data.push(u8::try_from(label.len()).unwrap_or_default());
        data.extend(label.as_bytes());
    }
    data.push(0);
    Ok(data)
}

/// True for a part of a host or domain name: 1 to 63 letters, digits, hyphens and underscores, the hyphens inside.
pub(super) fn is_label(label: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn decode_names(mut data: &[u8]) -> Vec<String> {
    let (mut names, mut labels) = (Vec::new(), Vec::new());
    while let Some((&len, rest)) = data.split_first() {
        let Some((label, rest)) = rest.split_at_checked(usize::from(len)) else {
            break;
        };
        match len {
            0 => names.push(std::mem::take(&mut labels).join(".")),
            _ => labels.push(String::from_utf8_lossy(label).into_owned()),
        }
        data = rest;
    }
    names
}

fn decode_hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let octet = |[high, low]: &[u8; 2]| u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok();
    pairs.iter().map(octet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(key: &str, value: &str) -> Result<DhcpOptions, Refusal> {
        let spec = [(key.to_owned(), value.to_owned())].into();
        DhcpOptions::resolve(&spec, Level::Subnet, "/dhcp_options")
    }

    #[track_caller]
    fn comes_to(key: &str, value: &str, code: u8, data: &[u8]) {
        assert_eq!(read(key, value).unwrap().get(code), Some(data));
    }

    #[test]
    fn values_are_as_the_rfcs_say() {
        comes_to("domain-name", "example.org", 15, b"example.org");
        comes_to("15", "example.org", 15, b"example.org");
        comes_to("42", "192.0.2.1", 42, &[192, 0, 2, 1]);
        comes_to(
            "ntp-servers",
            "192.0.2.1, 192.0.2.2",
            42,
            &[192, 0, 2, 1, 192, 0, 2, 2],
        );
        comes_to("time-offset", "-3600", 2, &[0xff, 0xff, 0xf1, 0xf0]);
        comes_to("mtu", "1400", 26, &[5, 120]);
        comes_to("ip-forward-enable", "true", 19, &[1]);
        comes_to("netbios-node-type", "8", 46, &[8]);
        comes_to("tftp-server-address", "192.0.2.9", 150, &[192, 0, 2, 9]);
        comes_to("domain-search", "a.b, c.", 119, b"\x01a\x01b\0\x01c\0");
        comes_to("224", "0x00ff", 224, &[0, 255]);
        comes_to("224", "plain text", 224, b"plain text");
        let options = read("server-ip-address", "192.0.2.7").unwrap();
        assert_eq!(options.next_server, Some(Ipv4Addr::new(192, 0, 2, 7)));
        assert!(options.options.is_empty());
    }

    #[test]
    fn what_is_refused_names_its_field_and_why() {
        for (key, value, why) in [
            ("1", "255.255.255.0", "`cidr`"),
            ("router", "192.0.2.1", "give its code"),
            ("3", "192.0.2.1", "`gateway`"),
            ("dns-servers", "192.0.2.1", "`dns`"),
            ("12", "vm1", "`hostname`"),
            ("51", "60", "`lease_seconds`"),
            ("53", "2", "RFC 2132"),
            ("61", "x", "RFC 2132"),
            ("121", "0x00", "`routes`"),
            ("0", "x", "1 to 254"),
            ("255", "x", "1 to 254"),
            ("1000", "x", "1 to 254"),
            ("mtu", "67", "68 to 65535"),
            ("mtu", "many", "68 to 65535"),
            ("default-ttl", "256", "0 to 255"),
            ("ntp-servers", "ntp.example.org", "no IPv4 address"),
            ("ntp-servers", "", "no IPv4 address"),
            ("domain-name", "", "empty"),
            ("domain-name", "a\nb", "control character"),
            ("domain-search", "a..b", "no domain name"),
            ("224", "0x123", "even number"),
            ("ip-forward-enable", "yes", "\"true\" or"),
        ] {
            let refusal = read(key, value).unwrap_err();
            let field = format!("/dhcp_options/{key}");
            assert_eq!(refusal.field.as_deref(), Some(&*field));
            assert!(refusal.message.contains(why), "{key}: {}", refusal.message);
        }
        let long = "x".repeat(256);
        assert!(
            read("root-path", &long)
                .unwrap_err()
                .message
                .contains("at most 255")
        );
        let twice = [
            ("15".to_owned(), "a".to_owned()),
            ("domain-name".to_owned(), "b".to_owned()),
        ];
        let refusal = DhcpOptions::resolve(&twice.into(), Level::Port, "").unwrap_err();
        assert_eq!(refusal.code, crate::refusal::Code::Conflict);
    }

    #[test]
    fn a_port_may_have_name_servers_of_its_own() {
        let spec = [("dns-servers".to_owned(), "192.0.2.1".to_owned())].into();
        let options = DhcpOptions::resolve(&spec, Level::Port, "").unwrap();
        assert_eq!(options.get(6), Some(&[192, 0, 2, 1][..]));
    }

    #[test]
    fn names_are_in_the_order_of_their_codes_and_each_once() {
        assert!(NAMES.is_sorted_by_key(|(code, ..)| *code));
        let mut names: Vec<_> = NAMES.iter().map(|(_, name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }

    fn value(form: Form) -> BoxedStrategy<String> {
        match form {
            Form::Text => "[ -~äß]{1,60}".boxed(),
            Form::Address => any::<Ipv4Addr>().prop_map(|own| own.to_string()).boxed(),
            Form::Addresses => prop::collection::vec(any::<Ipv4Addr>(), 1..5)
                .prop_map(|all| {
                    all.iter()
                        .map(Ipv4Addr::to_string)
                        .collect::<Vec<_>>()
                        .join(",")
                })
                .boxed(),
            Form::Names => "[a-z]{1,9}(\\.[a-z0-9]{1,9}){0,3}(, [a-z]{1,9}){0,2}".boxed(),
            Form::U8 => any::<u8>().prop_map(|own| own.to_string()).boxed(),
            Form::U16(least) => (least..=u16::MAX).prop_map(|own| own.to_string()).boxed(),
            Form::U32 => any::<u32>().prop_map(|own| own.to_string()).boxed(),
            Form::I32 => any::<i32>().prop_map(|own| own.to_string()).boxed(),
            Form::Bool => any::<bool>().prop_map(|own| own.to_string()).boxed(),
            Form::Bytes => prop_oneof!["0x([0-9a-f]{2}){1,9}", "[ -~]{1,20}"].boxed(),
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_means_the_same(
            (key, value) in (0..NAMES.len() + 20).prop_flat_map(|at| {
                let (key, form) = match NAMES.get(at) {
                    Some((_, name, form)) => ((*name).to_owned(), *form),
                    None => ((at + 160).to_string(), Form::Bytes),
                };
                (Just(key), value(form))
            })
        ) {
            let spec: DhcpOptionsSpec = [(key, value)].into();
            if let Ok(options) = DhcpOptions::resolve(&spec, Level::Port, "") {
                let shown = options.spec();
                prop_assert_eq!(DhcpOptions::resolve(&shown, Level::Port, "").unwrap(), options);
            }
        }
    }
}
