#!/usr/bin/env python3
"""Writes vlan.json: the packets of neutron.json as they are on VLAN networks.

Every byte is worked out here, with nothing but the standard library and none of the
project's code, so that the two cannot be wrong in the same way. Stations, gateways and
DVR host MACs are those of neutron.json. The wire differs:

  network 1   192.168.1.0/24   access VLAN 1   segment VLAN 196
  network 2   192.168.2.0/24   access VLAN 2   segment VLAN 148
  outside     10.100.0.0/24                    segment VLAN 300

Access interfaces are tagged with the access VLAN, and a host's provider interface with the
segment's; the two are independent of each other. Which interface a frame comes in by is
seen from its tag.

    python3 make_vlan.py          writes vlan.json beside itself
    python3 make_vlan.py --check  says whether that is what it would write
"""

import json
import pathlib
import struct
import sys

VM1, VM1_IP = "fa:16:3e:9a:b7:d4", "192.168.1.9"
VM2, VM2_IP = "fa:16:3e:b5:f9:75", "192.168.1.10"
VM3, VM3_IP = "fa:16:3e:ad:31:3c", "192.168.2.9"
GW1, GW1_IP = "fa:16:3e:5b:89:14", "192.168.1.1"
GW2 = "fa:16:3e:fa:c6:99"
HM1 = "fa:16:3f:7d:d0:db"
SG1 = "fa:16:3e:19:e1:98"
QG, QG_IP = "fa:16:3e:70:a5:d3", "10.100.0.5"
FG, FIP = "fa:16:3e:7d:bd:86", "10.100.0.7"
OUT, OUT_IP = "02:00:00:00:0e:14", "10.100.0.14"
EVERYBODY = "ff:ff:ff:ff:ff:ff"

ACCESS1, ACCESS2, SEGMENT1, SEGMENT2, OUTSIDE = 1, 2, 196, 148, 300
MTU2 = 1450

ICMP, TCP, UDP = 1, 6, 17
SYN, ACK = 0x02, 0x10
DONT_FRAGMENT = 0x4000


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip(text):
    return bytes(int(part) for part in text.split("."))


def internet_checksum(data):
    """RFC 1071, by the book: the sum of all words with its carries, complemented."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tagged(vlan, destination, source, ethertype, payload):
    return mac(destination) + mac(source) + struct.pack("!HHH", 0x8100, vlan, ethertype) + payload


def arp(operation, sender_mac, sender_ip, target_mac, target_ip):
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + mac(sender_mac) + ip(sender_ip) + mac(target_mac) + ip(target_ip)


def ipv4(source, destination, protocol, payload, ttl=64, identification=0x1234, tos=0):
    def header(checksum):
        return (
            struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(payload), identification,
                        DONT_FRAGMENT, ttl, protocol, checksum)
            + ip(source) + ip(destination)
        )

    return header(internet_checksum(header(0))) + payload


def icmp(kind, code, rest, payload):
    def message(checksum):
        return struct.pack("!BBHI", kind, code, checksum, rest) + payload

    return message(internet_checksum(message(0)))


def echo(kind, identifier, sequence):
    return icmp(kind, 0, identifier << 16 | sequence, b"vtepd-golden-16b")


def udp(source, destination, source_port, destination_port, payload):
    length = 8 + len(payload)
    pseudo = ip(source) + ip(destination) + struct.pack("!BBH", 0, UDP, length)

    def segment(checksum):
        ports = struct.pack("!HHHH", source_port, destination_port, length, checksum)
        return ports + payload

    return segment(internet_checksum(pseudo + segment(0)) or 0xFFFF)


def tcp(source, destination, source_port, destination_port, sequence, acknowledged, flags):
    pseudo = ip(source) + ip(destination) + struct.pack("!BBH", 0, TCP, 20)

    def segment(checksum):
        return struct.pack("!HHIIBBHHH", source_port, destination_port, sequence, acknowledged,
                           5 << 4, flags, 0xFAF0, checksum, 0)

    return segment(internet_checksum(pseudo + segment(0)))


NOBODY = "00:00:00:00:00:00"


def arp_frame(vlan, destination, source, packet):
    return tagged(vlan, destination, source, 0x0806, packet)


def ip_frame(vlan, destination, source, packet):
    return tagged(vlan, destination, source, 0x0800, packet)


def cases():
    def case(name, note, received, *sent):
        return {
            "name": name,
            "note": note,
            "in": received.hex(),
            "out": [{"port": port, "hex": frame.hex()} for port, frame in sent],
        }

    yield case(
        "A1 gw-arp",
        "VM1 asks who-has 192.168.1.1 in access VLAN 1; answered there, nothing on the provider",
        arp_frame(ACCESS1, EVERYBODY, VM1, arp(1, VM1, VM1_IP, NOBODY, GW1_IP)),
        ("access VM1", arp_frame(ACCESS1, VM1, GW1, arp(2, GW1, GW1_IP, VM1, VM1_IP))),
    )
    yield case(
        "A2 arp-suppress",
        "VM1 asks for VM2, who is on the other host and known: answered from the table",
        arp_frame(ACCESS1, EVERYBODY, VM1, arp(1, VM1, VM1_IP, NOBODY, VM2_IP)),
        ("access VM1", arp_frame(ACCESS1, VM1, VM2, arp(2, VM2, VM2_IP, VM1, VM1_IP))),
    )
    announcement = arp(1, VM1, VM1_IP, NOBODY, VM1_IP)
    yield case(
        "A3 garp-not-answered",
        "VM1's gratuitous ARP is not answered; access VLAN 1 becomes segment VLAN 196",
        arp_frame(ACCESS1, EVERYBODY, VM1, announcement),
        ("provider", arp_frame(SEGMENT1, EVERYBODY, VM1, announcement)),
    )
    yield case(
        "A4 gw-dst-from-segment",
        "a frame to GW1 from the provider VLAN is dropped: the host it comes from has a GW1 too",
        ip_frame(SEGMENT1, GW1, VM2, ipv4(VM2_IP, VM3_IP, ICMP, echo(8, 1, 1))),
    )
    bridged = ipv4(VM1_IP, VM2_IP, ICMP, echo(8, 1, 1))
    yield case(
        "E2 same-net diff-host (H1 tx)",
        "access VLAN 1 in, segment VLAN 196 out, all else untouched",
        ip_frame(ACCESS1, VM2, VM1, bridged),
        ("provider", ip_frame(SEGMENT1, VM2, VM1, bridged)),
    )
    yield case(
        "E2 same-net diff-host (H2 rx)",
        "segment VLAN 196 in, access VLAN 1 out",
        ip_frame(SEGMENT1, VM2, VM1, bridged),
        ("access VM2", ip_frame(ACCESS1, VM2, VM1, bridged)),
    )
    sent = ipv4(VM1_IP, VM3_IP, ICMP, echo(8, 1, 2))
    routed = ipv4(VM1_IP, VM3_IP, ICMP, echo(8, 1, 2), ttl=63)
    yield case(
        "E3 diff-net same-host",
        "one hop, source GW2, access VLAN of network 2",
        ip_frame(ACCESS1, GW1, VM1, sent),
        ("access VM3", ip_frame(ACCESS2, VM3, GW2, routed)),
    )
    yield case(
        "E4 diff-net diff-host (H1 tx) steps a-g",
        "routed here: TTL-1, destination VM3, source HM1, segment VLAN 148 of the DESTINATION network",
        ip_frame(ACCESS1, GW1, VM1, sent),
        ("provider", ip_frame(SEGMENT2, VM3, HM1, routed)),
    )
    yield case(
        "E4 diff-net diff-host (H2 rx) steps h-m",
        "source HM1: not learned; source := GW2, access VLAN of network 2",
        ip_frame(SEGMENT2, VM3, HM1, routed),
        ("access VM3", ip_frame(ACCESS2, VM3, GW2, routed)),
    )
    yield case(
        "P1 neighbour probe",
        "192.168.2.50 is asked for by an ARP probe from HM1 in segment VLAN 148",
        b"",
        ("provider", arp_frame(SEGMENT2, EVERYBODY, HM1,
                               arp(1, HM1, "0.0.0.0", NOBODY, "192.168.2.50"))),
    )
    too_big = ipv4(VM1_IP, VM3_IP, UDP, udp(VM1_IP, VM3_IP, 5000, 5001, bytes(1440)))
    quoted = too_big[:576 - 28]
    told = ipv4(GW1_IP, VM1_IP, ICMP, icmp(3, 4, MTU2, quoted), identification=0, tos=0xC0)
    yield case(
        "M1 MTU",
        "1468 bytes with DF into an MTU of 1450: ICMP 3/4 from 192.168.1.1 with that MTU. 576 bytes "
        "(RFC 1812, 4.3.2.3), TOS 0xc0 (4.3.2.5), DF, identification 0 (RFC 6864), TTL 64",
        ip_frame(ACCESS1, GW1, VM1, too_big),
        ("access VM1", ip_frame(ACCESS1, VM1, GW1, told)),
    )
    yield case(
        "G1 echo to gateway",
        "ping 192.168.1.1 answered on the host",
        ip_frame(ACCESS1, GW1, VM1, ipv4(VM1_IP, GW1_IP, ICMP, echo(8, 9, 1))),
        ("access VM1", ip_frame(ACCESS1, VM1, GW1, ipv4(GW1_IP, VM1_IP, ICMP, echo(0, 9, 1)))),
    )

    def to_outside(flags, ttl, source=VM1_IP, port=40000):
        segment = tcp(source, OUT_IP, port, 80, 1000, 0, flags)
        return ipv4(source, OUT_IP, TCP, segment, ttl=ttl)

    redirected = ip_frame(SEGMENT1, SG1, HM1, to_outside(SYN, 63))
    yield case(
        "S1 snat by way of the network node (H1 tx)",
        "TTL-1, source HM1, to SG1 in segment VLAN 196 of the SAME network",
        ip_frame(ACCESS1, GW1, VM1, to_outside(SYN, 64)),
        ("provider", redirected),
    )
    yield case(
        "S2 network node rx, translated",
        "TTL-1 again, from 10.100.0.5 and the same port, in VLAN 300",
        redirected,
        ("provider", ip_frame(OUTSIDE, OUT, QG, to_outside(SYN, 62, QG_IP))),
    )

    def back(destination, ttl):
        segment = tcp(OUT_IP, destination, 80, 40000, 5000, 1001, SYN | ACK)
        return ipv4(OUT_IP, destination, TCP, segment, ttl=ttl)

    yield case(
        "S3 the way back",
        "straight to VM1 from SG1 in segment VLAN 196, ONE TTL decrement",
        ip_frame(OUTSIDE, QG, OUT, back(QG_IP, 64)),
        ("provider", ip_frame(SEGMENT1, VM1, SG1, back(VM1_IP, 63))),
    )
    yield case(
        "S4 mid-stream TCP",
        "an ACK of no session is dropped and opens none",
        ip_frame(SEGMENT1, SG1, HM1, to_outside(ACK, 63, port=40001)),
    )
    yield case(
        "F1 floating IP out",
        "from 10.100.0.7 and FG in VLAN 300 of VM1's own host, TTL-2",
        ip_frame(ACCESS1, GW1, VM1, ipv4(VM1_IP, OUT_IP, ICMP, echo(8, 7, 1))),
        ("provider", ip_frame(OUTSIDE, OUT, FG, ipv4(FIP, OUT_IP, ICMP, echo(8, 7, 1), ttl=62))),
    )
    yield case(
        "F2 floating IP, ARP",
        "who-has 10.100.0.7 in VLAN 300 is answered there",
        arp_frame(OUTSIDE, EVERYBODY, OUT, arp(1, OUT, OUT_IP, NOBODY, FIP)),
        ("provider", arp_frame(OUTSIDE, OUT, FG, arp(2, FG, FIP, OUT, OUT_IP))),
    )
    yield case(
        "F3 floating IP in",
        "to VM1 from GW1 in access VLAN 1, TTL-2",
        ip_frame(OUTSIDE, FG, OUT, ipv4(OUT_IP, FIP, ICMP, echo(0, 7, 1))),
        ("access VM1", ip_frame(ACCESS1, VM1, GW1, ipv4(OUT_IP, VM1_IP, ICMP, echo(0, 7, 1), ttl=62))),
    )


def main():
    path = pathlib.Path(__file__).with_name("vlan.json")
    text = json.dumps(list(cases()), indent=1) + "\n"
    if "--check" in sys.argv[1:]:
        sys.exit(None if path.read_text() == text else f"{path} is not what this would write")
    path.write_text(text)


if __name__ == "__main__":
    main()
