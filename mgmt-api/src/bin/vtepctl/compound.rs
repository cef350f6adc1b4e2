//! Options that stand for an object: `192.168.1.0/24,gateway=192.168.1.1,dns=192.168.1.2,192.168.1.3`.

use serde_json::{Map, Value, json};

/// The parts of such a text: names and values. The first may stand without a name, under the one given here; later ones
/// without a name belong to the list before them.
fn parts<'t>(text: &'t str, first: &'static str) -> Vec<(&'t str, String)> {
    let mut parts: Vec<(&str, String)> = Vec::new();
    for (index, part) in text.split(',').enumerate() {
        match (part.split_once('='), parts.last_mut()) {
            (Some((name, value)), _) => parts.push((name, value.to_owned())),
            (None, _) if index == 0 => parts.push((first, part.to_owned())),
            (None, Some((_, value))) => {
                value.push(',');
                value.push_str(part);
            }
            (None, None) => {}
        }
    }
    parts
}

fn list(document: &mut Map<String, Value>, field: &str, values: impl IntoIterator<Item = Value>) {
    let list = document
        .entry(field)
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        list.extend(values);
    }
}

fn texts(value: &str) -> impl Iterator<Item = Value> {
    value.split(',').map(Value::from)
}

/// `PREFIX=VIA` as a route.
pub fn route(text: &str, option: &str) -> Result<Value, String> {
    let (destination, via) = text
        .split_once('=')
        .ok_or_else(|| format!("{option} is PREFIX=VIA, not {text:?}"))?;
    Ok(json!({"destination": destination, "via": via}))
}

/// `NAME=VALUE` into the object of DHCP options.
pub fn dhcp_option(document: &mut Map<String, Value>, text: &str) -> Result<(), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("a DHCP option is NAME=VALUE or CODE=VALUE, not {text:?}"))?;
    let options = document.entry("dhcp_options").or_insert_with(|| json!({}));
    options[name] = value.into();
    Ok(())
}

fn number(name: &str, value: &str) -> Result<Value, String> {
    let parsed: Result<u32, _> = value.parse();
    parsed
        .map(Value::from)
        .map_err(|_| format!("{name} is a number, not {value:?}"))
}

/// A subnet: its prefix, then `gateway=`, `dns=`, `route=PREFIX=VIA`, `dhcp=`, `lease=`, `mode=`, `option=NAME=VALUE`.
pub fn subnet(text: &str) -> Result<Value, String> {
    let mut subnet = Map::new();
    for (name, value) in parts(text, "cidr") {
        match name {
            "cidr" | "gateway" => {
                subnet.insert(name.to_owned(), value.into());
            }
            "dns" => list(&mut subnet, "dns", texts(&value)),
            "route" => list(&mut subnet, "routes", [route(&value, "route")?]),
            "dhcp" => {
                let parsed: Result<bool, _> = value.parse();
                let parsed = parsed.map_err(|_| format!("dhcp is true or false, not {value:?}"))?;
                subnet.insert("dhcp".to_owned(), parsed.into());
            }
            "lease" => {
                subnet.insert("lease_seconds".to_owned(), number(name, &value)?);
            }
            "mode" => {
                subnet.insert("ipv6_mode".to_owned(), value.into());
            }
            "option" => dhcp_option(&mut subnet, &value)?,
            other => {
                return Err(format!(
                    "a subnet is PREFIX and any of gateway=, dns=, route=, dhcp=, lease=, mode=, option=; {other:?} is none"
                ));
            }
        }
    }
    Ok(subnet.into())
}

/// An interface of a router: `network=`, `mac=`, `address=`.
pub fn router_interface(text: &str) -> Result<Value, String> {
    let mut interface = Map::new();
    for (name, value) in parts(text, "network") {
        match name {
            "network" | "mac" => {
                interface.insert(name.to_owned(), value.into());
            }
            "address" => list(&mut interface, "addresses", texts(&value)),
            "central-mac" => central(&mut interface)["mac"] = value.into(),
            "central" => {
                central(&mut interface)["addresses"] = texts(&value).collect::<Vec<_>>().into();
            }
            other => {
                return Err(format!(
                    "an interface of a router is network=NAME,mac=MAC,address=ADDRESS/LENGTH, and central-mac=MAC,\
                     central=ADDRESS; {other:?} is none of these"
                ));
            }
        }
    }
    Ok(interface.into())
}

fn central(interface: &mut Map<String, Value>) -> &mut Value {
    interface.entry("central").or_insert_with(|| json!({}))
}

/// A router's gateway outside: `mac=`, `address=`, `host=`.
pub fn outside_gateway(text: &str) -> Result<Value, String> {
    let mut gateway = Map::new();
    for (name, value) in parts(text, "mac") {
        match name {
            "mac" | "host" => {
                gateway.insert(name.to_owned(), value.into());
            }
            "address" => list(&mut gateway, "addresses", texts(&value)),
            other => {
                return Err(format!(
                    "a gateway outside is mac=MAC,address=ADDRESS/LENGTH and host=HOST; {other:?} is none of these"
                ));
            }
        }
    }
    Ok(gateway.into())
}

/// A host's gateway for floating IPs: `mac=`, `host=`, `address=`.
pub fn floating_ip_gateway(text: &str) -> Result<Value, String> {
    let mut gateway = Map::new();
    for (name, value) in parts(text, "mac") {
        match name {
            "mac" | "host" | "address" => gateway.insert(name.to_owned(), value.into()),
            other => {
                return Err(format!(
                    "a gateway for floating IPs is mac=MAC, host=HOST and address=ADDRESS; {other:?} is none of these"
                ));
            }
        };
    }
    Ok(gateway.into())
}

/// `tcp/8080=192.168.1.9:80` as a forwarding.
pub fn forwarding(text: &str) -> Result<Value, String> {
    let parsed = text.split_once('=').and_then(|(outside, to)| {
        let (protocol, port) = outside.split_once('/')?;
        let port: u16 = port.parse().ok()?;
        Some(json!({"protocol": protocol, "port": port, "to": to}))
    });
    parsed.ok_or_else(|| {
        format!(
            "--forward is PROTOCOL/PORT=ADDRESS:PORT, as in tcp/8080=192.168.1.9:80, not {text:?}"
        )
    })
}

/// `udp=120` as a timeout.
pub fn timeout(text: &str) -> Result<(String, Value), String> {
    let (name, seconds) = text
        .split_once('=')
        .ok_or_else(|| format!("--timeout is NAME=SECONDS, as in udp=300, not {text:?}"))?;
    Ok((name.to_owned(), number(name, seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_in_one_line() {
        let text = "192.168.1.0/24,gateway=192.168.1.1,dns=192.0.2.1,192.0.2.2,route=10.0.0.0/8=192.168.1.254,\
                    lease=600,dhcp=false,option=ntp-servers=192.0.2.3,192.0.2.4,option=15=example.org";
        let expected = json!({
            "cidr": "192.168.1.0/24", "gateway": "192.168.1.1", "dns": ["192.0.2.1", "192.0.2.2"],
            "routes": [{"destination": "10.0.0.0/8", "via": "192.168.1.254"}], "lease_seconds": 600, "dhcp": false,
            "dhcp_options": {"ntp-servers": "192.0.2.3,192.0.2.4", "15": "example.org"},
        });
        assert_eq!(subnet(text), Ok(expected));
        assert!(subnet("10.0.0.0/8,colour=red").is_err());
        assert!(subnet("10.0.0.0/8,lease=long").is_err());
    }

    #[test]
    fn an_interface_of_a_router_in_one_line() {
        let text = "network=red,mac=fa:16:3e:00:00:01,address=192.168.1.1/24,2001:db8::1/64";
        let expected = json!({
            "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["192.168.1.1/24", "2001:db8::1/64"],
        });
        assert_eq!(router_interface(text), Ok(expected));
        assert!(router_interface("network=red,vlan=1").is_err());
        let text = "red,mac=fa:16:3e:00:00:01,address=192.168.1.1/24,central-mac=fa:16:3e:00:00:02,\
                    central=192.168.1.11,2001:db8::b";
        let expected = json!({
            "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["192.168.1.1/24"],
            "central": {"mac": "fa:16:3e:00:00:02", "addresses": ["192.168.1.11", "2001:db8::b"]},
        });
        assert_eq!(router_interface(text), Ok(expected));
    }

    #[test]
    fn ways_outside_in_one_line() {
        let text = "fa:16:3e:00:00:01,address=10.100.0.5/24,10.100.0.6/24,host=net1";
        let expected = json!({
            "mac": "fa:16:3e:00:00:01", "addresses": ["10.100.0.5/24", "10.100.0.6/24"], "host": "net1",
        });
        assert_eq!(outside_gateway(text), Ok(expected));
        assert!(outside_gateway("mac=x,colour=red").is_err());
        let expected = json!({"mac": "fa:16:3e:00:00:01", "host": "h1", "address": "10.100.0.2"});
        let text = "mac=fa:16:3e:00:00:01,host=h1,address=10.100.0.2";
        assert_eq!(floating_ip_gateway(text), Ok(expected));
        assert!(floating_ip_gateway("mac=x,colour=red").is_err());
    }

    #[test]
    fn a_forwarding_and_a_timeout() {
        let expected = json!({"protocol": "tcp", "port": 8080, "to": "192.168.1.9:80"});
        assert_eq!(forwarding("tcp/8080=192.168.1.9:80"), Ok(expected));
        for text in [
            "tcp/8080",
            "8080=192.168.1.9:80",
            "tcp/70000=192.168.1.9:80",
        ] {
            assert!(forwarding(text).is_err(), "{text}");
        }
        assert_eq!(timeout("udp=120"), Ok(("udp".to_owned(), 120.into())));
        assert!(timeout("udp").is_err() && timeout("udp=long").is_err());
    }
}
