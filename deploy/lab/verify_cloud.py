#!/usr/bin/python3 -B
"""Verify that a capture between hosts shows nothing but what a distributed router may put there.

    verify_cloud.py CLOUD PCAP [--seen PORT>PORT]... [--ttl N] [--floods] [--leaks HOST]...

CLOUD is a description as of cloud.py. Every VXLAN packet and every frame with a VLAN tag is held to it:

- its network is one of the cloud's, and the address it is for is a port of that network on another host;
- to or from a gateway's MAC: never; ARP, solicitations or advertisements that name a gateway: never, unless from a host
  that --leaks (Open vSwitch with Neutron's flows does: by ARP on VLANs, by neighbour discovery everywhere); a network
  with gateway_from_underlay is exempt from both;
- group addresses and unknown ones, that is, flooded: never, unless --floods (multicast listener reports are let pass);
- IP from a port of the same network has that port's MAC and its TTL untouched;
- IP from a port of another network was routed: some router joins the two networks, the source MAC is the DVR MAC of the
  sender's host, the TTL is --ttl less one;
- a tunnel packet goes from the VTEP of the sender's host to the VTEP of the receiver's.

--seen A>B asks for packets from port A to port B: IPv4, and IPv6 if both have it.
Prints one line per fault and what was seen; the exit code is 1 when there was a fault or something was not seen.
"""

import argparse
import ipaddress
import struct
import sys
from collections import Counter

from cloud import load
from verify_pcap import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPES_VLAN, ICMPV6, UDP, Fault, need, read_pcap

VXLAN_PORT = 4789
ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT = 134, 135, 136
LISTENER_REPORTS = (131, 132, 143)
ZERO = ipaddress.ip_address("0.0.0.0")


def text(mac):
    return mac.hex(":")


class Frame:
    """An Ethernet frame and the tags it had."""

    def __init__(self, data):
        need(len(data) >= 14, f"frame of {len(data)} bytes")
        self.destination, self.source = text(data[:6]), text(data[6:12])
        self.is_group = bool(data[0] & 1)
        self.vlan, offset = None, 12
        (self.ethertype,) = struct.unpack_from("!H", data, offset)
        while self.ethertype in ETHERTYPES_VLAN:
            tag, self.ethertype = struct.unpack_from("!HH", data, offset + 2)
            self.vlan, offset = tag & 0xFFF, offset + 4
        self.payload = data[offset + 2 :]
        self.ip = None
        if self.ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            self.ip = Ip(self.payload)


class Ip:
    def __init__(self, packet):
        self.version = packet[0] >> 4
        if self.version == 4:
            self.ttl, self.protocol = packet[8], packet[9]
            addresses, header = packet[12:20], (packet[0] & 15) * 4
        else:
            self.protocol, self.ttl = packet[6], packet[7]
            addresses, header = packet[8:40], 40
            if self.protocol == 0:  # hop-by-hop options, as listener reports have them
                self.protocol, header = packet[40], 40 + (packet[41] + 1) * 8
        half = len(addresses) // 2
        self.source, self.destination = (ipaddress.ip_address(addresses[i : i + half]) for i in (0, half))
        self.payload = packet[header:]

    def icmpv6(self):
        return self.payload[0] if self.version == 6 and self.protocol == ICMPV6 and self.payload else None


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

    def wire(self, data):
        """A frame of the underlay or of the provider's network."""
        frame = Frame(data)
        if frame.vlan is not None:
            self.overlay(("vlan", frame.vlan), frame, None)
        elif frame.ip and frame.ip.protocol == UDP:
            _, port = struct.unpack_from("!HH", frame.ip.payload)
            if port == VXLAN_PORT:
                vxlan = frame.ip.payload[8:]
                vni = int.from_bytes(vxlan[4:7], "big")
                self.overlay(("vxlan", vni), Frame(vxlan[8:]), frame.ip)

    def overlay(self, segment, frame, outer):
        need(segment in self.networks, f"no network has {segment[0]} {segment[1]}")
        network = self.networks[segment]
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
        hosts = self.cloud.ports[sender]["host"], to["host"]
        need(hosts[0] != hosts[1], f"from {sender} to {receiver}, both on {hosts[0]}")
        if outer:
            vteps = tuple(self.cloud.vtep(host) for host in hosts)
            need((str(outer.source), str(outer.destination)) == vteps, f"from {sender} to {receiver}, but by other VTEPs")
        self.seen[f"{how} {sender}>{receiver} IPv{ip.version}"] += 1

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
    for what in missing:
        print(f"not seen: {what}")
    sys.exit(1 if faults or missing else 0)


if __name__ == "__main__":
    main()
