#!/usr/bin/python3 -B
"""Verify that a capture between hosts shows nothing but what a distributed router and its translation may put there.

    verify_cloud.py CLOUD PCAP [--seen PORT>PORT]... [--outside NAME]... [--ttl N] [--floods] [--leaks HOST]...

CLOUD is a description as of cloud.py. Every VXLAN packet and every frame with a VLAN tag is held to it:

- its network is one of the cloud's, and the address it is for is a port of that network on another host;
- to or from a gateway's MAC: never; ARP, solicitations or advertisements that name a gateway: never, unless from a host
  that --leaks (Open vSwitch with Neutron's flows does: by ARP on VLANs, by neighbour discovery everywhere); a network
  with gateway_from_underlay is exempt from both;
- group addresses and unknown ones, that is, flooded: never, unless --floods (multicast listener reports are let pass);
- IP from a port of the same network has that port's MAC and its TTL untouched;
- IP from a port of another network was routed: some router joins the two networks, the source MAC is the DVR MAC of the
  sender's host, the TTL is --ttl less one;
- a tunnel packet goes from the VTEP of the sender's host to the VTEP of the receiver's;
- to a central port: from a port of its network to outside the router, from the DVR MAC of the sender's host; from one: to a
  port of its network, from outside; either way between that port's host and the one that has the central gateway.

Frames of an external network (untagged ones, if it is flat) are held to verify_outside.py instead.

--seen A>B asks for packets from port A to port B: IPv4, and IPv6 if both have it. --outside NAME asks for packets to and from
the external addresses of that router or floating IP.
Prints one line per fault and what was seen; the exit code is 1 when there was a fault or something was not seen.
"""

import argparse
import ipaddress
import struct
import sys
from collections import Counter

from cloud import load
from frames import Frame
from verify_outside import OutsideVerifier
from verify_pcap import ETHERTYPE_ARP, UDP, Fault, need, read_pcap

VXLAN_PORT = 4789
ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT = 134, 135, 136
LISTENER_REPORTS = (131, 132, 143)


class Verifier:
    def __init__(self, cloud, options):
        self.cloud = cloud
        self.options = options
        self.seen = Counter()
        self.leaky = {cloud.hosts[host].get("dvr_mac") for host in options.leaks}
        self.leaky |= {port["mac"] for host in options.leaks for port in cloud.ports_of(host=host).values()}
        self.addresses = {}  # (network, address) → port's name
        for name, port in cloud.ports.items():
            for address in port.get("addresses", []):
                self.addresses[port["network"], ipaddress.ip_address(address)] = name
        self.networks = {
            (segment["type"], segment.get("vni") or segment.get("vlan")): name
            for name, segment in ((name, network["segment"]) for name, network in cloud.networks.items())
        }
        self.outsides = {
            name: OutsideVerifier(cloud, name, options.ttl, self.seen)
            for name, network in cloud.networks.items()
            if "external" in network
        }
        self.outside_subnets = [
            ipaddress.ip_network(subnet["cidr"]) for name in self.outsides for subnet in cloud.networks[name].get("subnets", [])
        ]
        self.central = {}  # (network, MAC) → the host with the central gateway
        for router in cloud.document.get("routers", {}).values():
            for interface in router["interfaces"]:
                if "central" in interface:
                    host = router["external_gateway"]["gateways"][0]["host"]
                    self.central[interface["network"], interface["central"]["mac"]] = host

    def wire(self, data):
        """A frame of the underlay or of the provider's network."""
        frame = Frame(data)
        if frame.vlan is not None:
            self.overlay(("vlan", frame.vlan), frame, None)
        elif frame.ip and frame.ip.protocol == UDP and len(frame.ip.payload) >= 8:
            _, port = struct.unpack_from("!HH", frame.ip.payload)
            if port == VXLAN_PORT and not self.is_outside(frame.ip):
                vxlan = frame.ip.payload[8:]
                vni = int.from_bytes(vxlan[4:7], "big")
                self.overlay(("vxlan", vni), Frame(vxlan[8:]), frame.ip)
                return
        if frame.vlan is None and ("flat", None) in self.networks:
            self.outsides[self.networks["flat", None]].frame(frame)

    def is_outside(self, ip):
        """True if it is of an external network, where translation may give a station any port, VXLAN's too."""
        return any(address in subnet for address in (ip.source, ip.destination) for subnet in self.outside_subnets)

    def overlay(self, segment, frame, outer):
        need(segment in self.networks, f"no network has {segment[0]} {segment[1]}")
        network = self.networks[segment]
        if network in self.outsides:
            self.outsides[network].frame(frame)
            return
        shared = self.cloud.networks[network].get("gateway_from_underlay")
        macs = [gateway.mac for gateway in self.cloud.gateways if gateway.network == network]
        if self.discovers_gateway(network, frame) or frame.destination in macs or frame.source in macs:
            if shared:
                self.seen["of a shared gateway"] += 1
                return
            need(not {frame.source, frame.destination}.intersection(macs), f"the MAC of {network}'s gateway")
            need(frame.source in self.leaky, f"discovery of {network}'s gateway")
            self.seen["leaked discovery"] += 1
            return
        need(not frame.ip or frame.ip.icmpv6() != ROUTER_ADVERTISEMENT, "a router advertisement")
        if frame.is_group:
            reports = frame.ip and frame.ip.icmpv6() in LISTENER_REPORTS
            need(reports or self.options.floods, f"flooded in {network}: to {frame.destination}")
            self.seen["listener reports" if reports else "flooded"] += 1
        elif frame.ip and (network, frame.destination) in self.central:
            self.to_central(network, frame, outer)
        elif frame.ip and (network, frame.source) in self.central:
            self.from_central(network, frame, outer)
        elif frame.ip:
            self.unicast(network, frame, outer)
        else:
            self.seen["other"] += 1

    def discovers_gateway(self, network, frame):
        """ARP or neighbour discovery that names a gateway: these stay on their hosts."""
        own = {a for g in self.cloud.gateways if g.network == network for a in g.addresses()}
        named = ()
        if frame.ethertype == ETHERTYPE_ARP:
            named = (frame.payload[offset : offset + 4] for offset in (14, 24))  # sender, target
        elif frame.ip and frame.ip.icmpv6() in (SOLICITATION, ADVERTISEMENT):
            named = (frame.ip.payload[8:24],)
        return any(str(ipaddress.ip_address(address)) in own for address in named)

    def unicast(self, network, frame, outer):
        ip = frame.ip
        receiver = self.addresses.get((network, ip.destination))
        need(receiver, f"in {network}, for {ip.destination}, which is no port of it")
        to = self.cloud.ports[receiver]
        need(frame.destination == to["mac"], f"for {receiver}, but to {frame.destination}")
        sender = self.addresses.get((network, ip.source))
        if sender:
            need(frame.source == self.cloud.ports[sender]["mac"], f"from {sender}, but by {frame.source}")
            how, ttl = "bridged", self.options.ttl
        else:
            sender = self.sender_elsewhere(network, ip.source)
            host = self.cloud.ports[sender]["host"]
            want = self.cloud.hosts[host].get("dvr_mac")
            need(frame.source == want, f"from {sender}, routed by {host}, but by {frame.source}, not {want}")
            how, ttl = "routed", self.options.ttl - 1
        discovery = ip.icmpv6() in (SOLICITATION, ADVERTISEMENT)  # sent with 255
        need(discovery or ip.ttl == ttl, f"{how} from {sender} to {receiver} with TTL {ip.ttl}, not {ttl}")
        self.between(self.cloud.ports[sender]["host"], to["host"], outer, f"from {sender} to {receiver}")
        self.seen[f"{how} {sender}>{receiver} IPv{ip.version}"] += 1

    def to_central(self, network, frame, outer):
        """On the way out, from a host that has no gateway outside."""
        sender = self.addresses.get((network, frame.ip.source))
        need(sender, f"to the central port of {network}, from {frame.ip.source}, which is no port of it")
        host = self.cloud.ports[sender]["host"]
        need(frame.source == self.cloud.hosts[host]["dvr_mac"], f"from {sender} to a central port, but by {frame.source}")
        need(not self.is_inside(frame.ip.destination), f"from {sender} to a central port, but for {frame.ip.destination}")
        want = self.options.ttl - 1
        need(frame.ip.ttl == want, f"from {sender} to a central port with TTL {frame.ip.ttl}, not {want}")
        self.between(host, self.central[network, frame.destination], outer, f"from {sender} to a central port")
        self.seen[f"out {sender} IPv{frame.ip.version}"] += 1

    def from_central(self, network, frame, outer):
        """On the way back."""
        receiver = self.addresses.get((network, frame.ip.destination))
        need(receiver, f"from the central port of {network}, for {frame.ip.destination}, which is no port of it")
        port = self.cloud.ports[receiver]
        need(frame.destination == port["mac"], f"for {receiver}, but to {frame.destination}")
        need(frame.ip.ttl < self.options.ttl or frame.ip.is_icmp_error(), f"from a central port with TTL {frame.ip.ttl}")
        self.between(self.central[network, frame.source], port["host"], outer, f"from a central port to {receiver}")
        self.seen[f"in {receiver} IPv{frame.ip.version}"] += 1

    def is_inside(self, address):
        return any(address in i.network for g in self.cloud.gateways for i in g.interfaces)

    def between(self, source, destination, outer, what):
        """A frame goes from one host to another."""
        need(source != destination, f"{what}, both on {source}")
        if outer:
            vteps = self.cloud.vtep(source), self.cloud.vtep(destination)
            need((str(outer.source), str(outer.destination)) == vteps, f"{what}, but by other VTEPs")

    def sender_elsewhere(self, network, address):
        for (other, known), name in self.addresses.items():
            if known == address and self.cloud.routed(other, network):
                return name
        raise Fault(f"in {network}, from {address}, which is no port of a network that is routed to it")

    def not_seen(self, flow):
        """Of "A>B": what of it is missing."""
        ports = [self.cloud.ports[name] for name in flow.split(">")]
        families = set.intersection(*({ipaddress.ip_address(a).version for a in p["addresses"]} for p in ports))
        how = "bridged" if ports[0]["network"] == ports[1]["network"] else "routed"
        return [f"{how} {flow} IPv{v}" for v in sorted(families) if not self.seen[f"{how} {flow} IPv{v}"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cloud")
    parser.add_argument("pcap")
    parser.add_argument("--seen", action="append", default=[], metavar="PORT>PORT")
    parser.add_argument("--outside", action="append", default=[], metavar="NAME")
    parser.add_argument("--ttl", type=int, default=64, help="with which end hosts send")
    parser.add_argument("--leaks", action="append", default=[], metavar="HOST", help="by the known fault of its flows")
    parser.add_argument("--floods", action="store_true", help="frames to group addresses are right")
    options = parser.parse_args()

    verifier, frames, faults = Verifier(load(options.cloud), options), 0, 0
    for frames, (frame, _) in enumerate(read_pcap(options.pcap), 1):
        try:
            verifier.wire(frame)
        except Fault as fault:
            faults += 1
            print(f"packet {frames}: {fault}: {frame[:120].hex()}")
        except (IndexError, struct.error):
            faults += 1
            print(f"packet {frames}: cut short: {frame[:120].hex()}")
    print(f"{frames} frames, {faults} faults;", ", ".join(f"{n} {what}" for what, n in sorted(verifier.seen.items())))
    missing = [what for flow in options.seen for what in verifier.not_seen(flow)]
    missing += [w for name in options.outside for w in (f"{name} out", f"{name} in") if not verifier.seen[w]]
    for what in missing:
        print(f"not seen: {what}")
    sys.exit(1 if faults or missing else 0)


if __name__ == "__main__":
    main()
