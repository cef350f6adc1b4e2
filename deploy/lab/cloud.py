#!/usr/bin/python3 -B
"""One description of a cloud, and what each of its hosts makes of it.

The description is vtepd's state document, for all hosts together: a port says the host it lives on, a host its underlay
address with the prefix length. From it come the document that the vtepd on a host is given (state), the end hosts that
have to be built (vms), the Open vSwitch host that stands beside it (ovs_dvr.py), and what may be seen on the wires
between them (verify_cloud.py). Nothing of the cloud is said twice, and so no two can disagree. A host may say its `gateway` on the underlay.

    cloud.py CLOUD state HOST     what the vtepd on HOST is told
    cloud.py CLOUD hop HOST HOST  the next hop on the underlay from one to the other
    cloud.py CLOUD vms HOST       its ports: name mac mtu vlan gateways addresses, a line each, lists with commas, - for none

A port's end host and its interface have the port's name. VLAN segments are on the interface prov0 of each host.
"""

import copy
import ipaddress
import json
import sys
from pathlib import Path


def load(path):
    return Cloud(json.loads(Path(path).read_text()))


def interface_id(mac):
    """The modified EUI-64 interface identifier of a MAC address (RFC 4291, appendix A)."""
    octets = bytearray(bytes.fromhex(mac.replace(":", "")))
    octets[0] ^= 2
    return bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])


def link_local(mac):
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface_id(mac)))


class Gateway:
    """A router's interface in a network."""

    def __init__(self, router, interface):
        self.router = router
        self.network = interface["network"]
        self.mac = interface["mac"]
        self.interfaces = [ipaddress.ip_interface(a) for a in interface["addresses"]]

    def addresses(self):
        """All that answer for it: its link-local address too."""
        return [str(i.ip) for i in self.interfaces] + [link_local(self.mac)]


class Cloud:
    def __init__(self, document):
        self.document = document
        self.hosts = document["hosts"]
        self.networks = document["networks"]
        self.ports = document.get("ports", {})
        self.gateways = [
            Gateway(name, interface)
            for name, router in document.get("routers", {}).items()
            for interface in router["interfaces"]
        ]

    def gateway(self, network):
        """The first router's interface in a network, or None."""
        return next((g for g in self.gateways if g.network == network), None)

    def routed(self, one, other):
        """True if some router has an interface in both networks."""
        routers = [{g.router for g in self.gateways if g.network == n} for n in (one, other)]
        return bool(routers[0] & routers[1])

    def ports_of(self, host=None, network=None):
        return {
            name: port
            for name, port in self.ports.items()
            if host in (None, port["host"]) and network in (None, port["network"])
        }

    def is_vlan(self, network):
        return self.networks[network]["segment"]["type"] == "vlan"

    def vtep(self, host):
        """The address of a host's VTEP, as text and without the prefix length."""
        return self.hosts[host]["vtep"].split("/")[0]

    def hop(self, here, there):
        """The next hop to that host's VTEP: itself, or the gateway."""
        subnet = ipaddress.ip_interface(self.hosts[here]["vtep"]).network
        vtep = self.vtep(there)
        return vtep if ipaddress.ip_address(vtep) in subnet else self.hosts[here].get("gateway", vtep)

    def with_length(self, network, address):
        """The address with the prefix length of its subnet."""
        for subnet in self.networks[network].get("subnets", []):
            cidr = ipaddress.ip_network(subnet["cidr"])
            if ipaddress.ip_address(address) in cidr:
                return f"{address}/{cidr.prefixlen}"
        return address

    # ------------------------------------------------------------------------------------- for vtepd

    def state(self, here):
        """The document for the vtepd on that host."""
        networks = copy.deepcopy(self.networks)
        interfaces = {n["segment"]["interface"]: {} for n in networks.values() if "interface" in n["segment"]}
        if "vtep" in self.hosts[here]:
            own = self.hosts[here]
            interfaces["up0"] = {"addresses": [own["vtep"]]} | {k: own[k] for k in ("gateway",) if k in own}
        ports = copy.deepcopy(self.ports)
        for name, port in ports.items():
            if port["host"] == here:
                interfaces[name] = {}
                port["interface"] = name
                del port["host"]
        for name, network in networks.items():
            others = {p["host"] for p in self.ports_of(network=name).values()} - {here}
            if network["segment"]["type"] == "vxlan":
                network["hosts"] = sorted(others)
        hosts = {name: dict(host) for name, host in self.hosts.items() if "vtep" in host}
        for name, host in hosts.items():
            host.pop("gateway", None)
            host["vtep"] = self.vtep(name)
        return self.document | {"interfaces": interfaces, "hosts": hosts, "networks": networks, "ports": ports}

    # --------------------------------------------------------------------------------- for end hosts

    def vms(self, host):
        for name, port in self.ports_of(host=host).items():
            gateways = [g for g in self.gateways if g.network == port["network"]]
            families = {}  # the first gateway address of each
            for interface in (i for g in gateways for i in g.interfaces):
                families.setdefault(interface.version, str(interface.ip))
            addresses = [self.with_length(port["network"], a) for a in port.get("addresses", [])]
            yield (
                name,
                port["mac"],
                str(self.networks[port["network"]]["mtu"]),
                str(port.get("vlan", "-")),
                ",".join(families.values()) or "-",
                ",".join(addresses) or "-",
            )


def main():
    arguments = {"state": 1, "hop": 2, "vms": 1}
    if len(sys.argv) < 4 or len(sys.argv) != 3 + arguments.get(sys.argv[2], -1):
        sys.exit(__doc__)
    cloud, command, hosts = load(sys.argv[1]), sys.argv[2], sys.argv[3:]
    for host in hosts:
        if host not in cloud.hosts:
            sys.exit(f"cloud.py: no host {host!r} in {sys.argv[1]} (it has {', '.join(cloud.hosts)})")
    if command == "state":
        print(json.dumps(cloud.state(*hosts), indent=1))
    elif command == "hop":
        print(cloud.hop(*hosts))
    else:
        for fields in cloud.vms(*hosts):
            print(*fields)


if __name__ == "__main__":
    main()
