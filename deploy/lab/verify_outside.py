"""What of an external network is held to what: nothing that is inside may be seen there, and everybody speaks for his own.

Of the frames from a MAC address of a vtepd's (a router's gateway outside, a host's gateway for floating IPs):

- IPv4 comes from an address that it speaks for, and lost as much of its TTL on the way as that costs, if it is not ours;
- IPv6 comes from a port or a gateway inside, or from its own addresses;
- what an ICMP error quotes names no address inside;
- ARP has an address that it speaks for as its sender, or none (a probe), and asks for none inside.

Of all frames: no IPv4 packet comes from an address inside, but where the router says so (exempt, same_scope).
"""

import ipaddress

from outside import Outside
from verify_pcap import ETHERTYPE_ARP, need

ZERO = ipaddress.ip_address("0.0.0.0")


class OutsideVerifier:
    def __init__(self, cloud, network, ttl, seen):
        self.network = network
        self.outside = Outside(cloud, network)
        self.inside6 = [i.network for g in cloud.gateways for i in g.interfaces if i.version == 6]
        self.names = {a: name for s in self.outside.speakers.values() for a, name in s.names.items()}
        self.ttl = ttl
        self.seen = seen

    def frame(self, frame):
        speaker = self.outside.speakers.get(frame.source)
        if frame.ethertype == ETHERTYPE_ARP:
            self.arp(frame, speaker)
        elif frame.ip and frame.ip.version == 4:
            self.ipv4(frame.ip, speaker)
        elif frame.ip:
            self.ipv6(frame.ip, speaker)

    def arp(self, frame, speaker):
        sender, target = (ipaddress.ip_address(frame.payload[at : at + 4]) for at in (14, 24))
        need(not self.outside.is_inside(sender), f"ARP by {sender}, which is inside")
        if speaker:
            need(not self.outside.is_inside(target), f"ARP for {target}, which is inside")
            need(frame.payload[8:14].hex(":") == speaker.mac, f"ARP of {speaker.host} with another MAC inside than outside")
            need(sender == ZERO or sender in speaker.names, f"ARP by {sender} from {speaker.mac}, which does not speak for it")
            self.seen[f"ARP by {speaker.host}"] += 1

    def ipv4(self, ip, speaker):
        plain = self.outside.goes_as_it_is(ip.source, ip.destination)
        need(plain or not self.outside.is_inside(ip.source), f"from {ip.source}, which is inside, to {ip.destination}")
        quoted = ip.quoted()
        if speaker:
            need(plain or ip.source in speaker.names, f"from {ip.source} by {speaker.mac}, which does not speak for it")
            if quoted:
                for named in (quoted.source, quoted.destination):
                    need(not self.outside.is_inside(named), f"an error from {ip.source} that quotes {named}")
            ours = ip.ttl == 64 and ip.protocol == 1  # an answer or an error of the gateway itself
            lost = self.ttl - ip.ttl
            need(ours or quoted or lost in speaker.hops, f"from {ip.source} to {ip.destination} with TTL {ip.ttl}")
            self.seen[f"{'untranslated' if plain else self.names[ip.source]} out"] += 1
        if ip.destination in self.names:
            self.seen[f"{self.names[ip.destination]} in"] += 1

    def ipv6(self, ip, speaker):
        if speaker and not ip.source.is_link_local and not ip.source.is_unspecified:
            own = ip.source in speaker.names or any(ip.source in net for net in self.inside6)
            need(own, f"from {ip.source} by {speaker.mac}, which does not speak for it")
            self.seen["IPv6 out"] += 1
        elif any(ip.destination in net for net in self.inside6):
            self.seen["IPv6 in"] += 1
