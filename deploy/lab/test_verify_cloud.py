#!/usr/bin/python3 -B
"""verify_cloud.py must accept what a distributed router puts on the wire, and name what is wrong with anything else."""

import copy
import struct
import unittest
from argparse import Namespace
from ipaddress import ip_address

from cloud import Cloud
from outside import Outside
from verify_cloud import Verifier
from verify_pcap import Fault

CLOUD = Cloud({
    "hosts": {
        "h1": {"vtep": "192.0.2.11/24", "dvr_mac": "fa:16:3f:00:00:11"},
        "h2": {"vtep": "192.0.2.12/24", "dvr_mac": "fa:16:3f:00:00:12"},
    },
    "networks": {
        "red": {"segment": {"type": "vxlan", "vni": 1671}},
        "blue": {"segment": {"type": "vxlan", "vni": 1172}},
        "gold": {"segment": {"type": "vlan", "interface": "prov0", "vlan": 148}},
        "alone": {"segment": {"type": "vxlan", "vni": 9}},
        "public": {
            "segment": {"type": "flat", "interface": "ext0"}, "subnets": [{"cidr": "10.100.0.0/24"}],
            "external": {"floating_ip_gateways": [
                {"host": "h1", "mac": "fa:16:3e:00:64:11"}, {"host": "h2", "mac": "fa:16:3e:00:64:12"},
            ]},
        },
    },
    "routers": {"r1": {
        "interfaces": [
            {
                "network": "red", "mac": "fa:16:3e:00:01:01", "addresses": ["192.168.1.1/24"],
                "central": {"mac": "fa:16:3e:00:01:02", "addresses": ["192.168.1.2"]},
            },
            {"network": "blue", "mac": "fa:16:3e:00:02:01", "addresses": ["192.168.2.1/24"]},
            {"network": "gold", "mac": "fa:16:3e:00:04:01", "addresses": ["192.168.4.1/24"]},
        ],
        "external_gateway": {
            "network": "public", "exempt": ["198.51.100.0/24"],
            "gateways": [{"host": "h2", "mac": "fa:16:3e:00:64:05", "addresses": ["10.100.0.5/24"]}],
        },
    }},
    "floating-ips": {
        "fip1": {"address": "10.100.0.7", "network": "public", "port": "red1"},
        "fip2": {"address": "10.100.0.8", "network": "public", "port": "red2", "distributed": False},
    },
    "ports": {
        "red1": {"network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11"]},
        "red2": {"network": "red", "host": "h2", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12"]},
        "blue2": {"network": "blue", "host": "h2", "mac": "fa:16:3e:00:02:12", "addresses": ["192.168.2.12"]},
        "gold2": {"network": "gold", "host": "h2", "mac": "fa:16:3e:00:04:12", "addresses": ["192.168.4.12"]},
        "alone1": {"network": "alone", "host": "h1", "mac": "fa:16:3e:00:09:11", "addresses": ["192.168.9.11"]},
    },
})  # fmt: skip
HM1, HM2 = "fa:16:3f:00:00:11", "fa:16:3f:00:00:12"
RED1, RED2, RED_GATEWAY = "fa:16:3e:00:01:11", "fa:16:3e:00:01:12", "fa:16:3e:00:01:01"
BLUE2, GOLD2 = "fa:16:3e:00:02:12", "fa:16:3e:00:04:12"
SG, QG, FG1, FG2 = "fa:16:3e:00:01:02", "fa:16:3e:00:64:05", "fa:16:3e:00:64:11", "fa:16:3e:00:64:12"
OUT = "02:00:00:00:0e:14"
EVERYBODY = "ff:ff:ff:ff:ff:ff"


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ipv4(source, destination, ttl, protocol=1, payload=bytes(8)):
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, ttl, protocol, 0)
    return b"\x08\x00" + header + ip_address(source).packed + ip_address(destination).packed + payload


def arp(sender, target, by="00:00:00:00:00:00"):
    addresses = mac(by) + ip_address(sender).packed + bytes(6) + ip_address(target).packed
    return b"\x08\x06" + bytes((0, 1, 8, 0, 6, 4, 0, 1)) + addresses


def ethernet(destination, source, payload, tag=None):
    tagged = b"" if tag is None else struct.pack("!HH", 0x8100, tag)
    return mac(destination) + mac(source) + tagged + payload


def vxlan(vni, inner, source="192.0.2.11", destination="192.0.2.12"):
    udp = struct.pack("!4HII", 50000, 4789, 16 + len(inner), 0, 0x08000000, vni << 8) + inner
    return ethernet("02:00:00:00:00:12", "02:00:00:00:00:11", ipv4(source, destination, 64, 17, udp))


def faults(frame, **options):
    verifier = Verifier(CLOUD, Namespace(**{"ttl": 64, "floods": False, "leaks": []} | options))
    try:
        verifier.wire(frame)
    except Fault as fault:
        return str(fault)
    return f"none: {' '.join(verifier.seen)}"


class VerifyCloud(unittest.TestCase):
    def test_what_is_right(self):
        for seen, frame in (
            ("bridged red1>red2", vxlan(1671, ethernet(RED2, RED1, ipv4("192.168.1.11", "192.168.1.12", 64)))),
            ("routed red1>blue2", vxlan(1172, ethernet(BLUE2, HM1, ipv4("192.168.1.11", "192.168.2.12", 63)))),
            ("routed red1>gold2", ethernet(GOLD2, HM1, ipv4("192.168.1.11", "192.168.4.12", 63), tag=148)),
        ):
            self.assertIn(f"none: {seen}", faults(frame))

    def test_what_is_wrong(self):
        routed = ipv4("192.168.1.11", "192.168.2.12", 63)
        for fault, frame in (
            ("no network has vxlan 5", vxlan(5, ethernet(BLUE2, HM1, routed))),
            ("no port of it", vxlan(1671, ethernet(BLUE2, HM1, routed))),
            ("the MAC of red's gateway", vxlan(1671, ethernet(RED_GATEWAY, RED1, ipv4("192.168.1.11", "192.168.2.12", 64)))),
            ("not fa:16:3f:00:00:11", vxlan(1172, ethernet(BLUE2, HM2, routed))),
            ("not fa:16:3f:00:00:11", vxlan(1172, ethernet(BLUE2, RED1, routed))),
            ("TTL 64, not 63", vxlan(1172, ethernet(BLUE2, HM1, ipv4("192.168.1.11", "192.168.2.12", 64)))),
            ("TTL 63, not 64", vxlan(1671, ethernet(RED2, RED1, ipv4("192.168.1.11", "192.168.1.12", 63)))),
            ("from red1, but by", vxlan(1671, ethernet(RED2, HM1, ipv4("192.168.1.11", "192.168.1.12", 64)))),
            ("but to fa:16:3e:00:01:12", vxlan(1172, ethernet(RED2, HM1, routed))),
            ("other VTEPs", vxlan(1172, ethernet(BLUE2, HM1, routed), "192.0.2.12", "192.0.2.11")),
            ("routed to it", vxlan(1172, ethernet(BLUE2, HM1, ipv4("192.168.9.11", "192.168.2.12", 63)))),
            ("both on h2", vxlan(1172, ethernet(BLUE2, HM2, ipv4("192.168.1.12", "192.168.2.12", 63)))),
            ("flooded", vxlan(1671, ethernet(EVERYBODY, RED1, arp("192.168.1.11", "192.168.1.99")))),
            ("discovery", vxlan(1671, ethernet(EVERYBODY, RED1, arp("192.168.1.11", "192.168.1.1")))),
        ):
            self.assertIn(fault, faults(frame))

    def test_what_is_allowed_by_an_option(self):
        ask_gateway = vxlan(1671, ethernet(EVERYBODY, RED1, arp("192.168.1.11", "192.168.1.1")))
        self.assertIn("none", faults(ask_gateway, leaks=["h1"]))
        self.assertIn("discovery", faults(ask_gateway, leaks=["h2"], floods=True))
        ask_red2 = vxlan(1671, ethernet(EVERYBODY, RED1, arp("192.168.1.11", "192.168.1.12")))
        self.assertIn("none", faults(ask_red2, floods=True))

    def test_what_is_right_on_the_way_outside(self):
        def untranslated(address):
            return ipv4("192.168.1.11", address, 62)

        for seen, frame in (
            ("out red1", vxlan(1671, ethernet(SG, HM1, ipv4("192.168.1.11", "10.100.0.14", 63)))),
            ("in red1", vxlan(1671, ethernet(RED1, SG, ipv4("10.100.0.14", "192.168.1.11", 63)), "192.0.2.12", "192.0.2.11")),
            ("r1 out", ethernet(OUT, QG, ipv4("10.100.0.5", "10.100.0.14", 62))),
            ("r1 in", ethernet(QG, OUT, ipv4("10.100.0.14", "10.100.0.5", 64))),
            ("fip1 out", ethernet(OUT, FG1, ipv4("10.100.0.7", "10.100.0.14", 62))),
            ("fip2 out", ethernet(OUT, QG, ipv4("10.100.0.8", "10.100.0.14", 62))),
            ("r1 in", ethernet(QG, OUT, ipv4("10.100.0.14", "10.100.0.5", 64, 17, struct.pack("!4H", 8000, 4789, 8, 0)))),
            ("untranslated out", ethernet(OUT, QG, untranslated("198.51.100.1"))),
            ("ARP by h1", ethernet(OUT, FG1, arp("10.100.0.7", "10.100.0.14", FG1))),
            ("ARP by h2", ethernet(EVERYBODY, QG, arp("0.0.0.0", "10.100.0.14", QG))),
        ):
            self.assertIn(f"none: {seen}", faults(frame))

    def test_what_goes_outside_as_it_is(self):
        for change, plain in (
            ({}, False),
            ({"same_scope": ["192.168.1.0/24"]}, True),
            ({"same_scope": ["192.168.2.0/24"]}, False),
            ({"exempt": ["10.100.0.0/24"]}, True),
            ({"snat": False}, True),
        ):
            document = copy.deepcopy(CLOUD.document)
            document["routers"]["r1"]["external_gateway"] |= change
            outside = Outside(Cloud(document), "public")
            self.assertEqual(plain, outside.goes_as_it_is(ip_address("192.168.1.11"), ip_address("10.100.0.14")), change)

    def test_what_is_wrong_on_the_way_outside(self):
        quote = ipv4("10.100.0.14", "192.168.1.11", 63)[2:]
        error = ipv4("10.100.0.5", "10.100.0.14", 64, 1, b"\x03\x01" + bytes(6) + quote)
        for fault, frame in (
            ("which is inside, to 10.100.0.14", ethernet(OUT, QG, ipv4("192.168.1.11", "10.100.0.14", 62))),
            ("which is inside, to 10.100.0.14", ethernet(OUT, OUT, ipv4("192.168.1.11", "10.100.0.14", 62))),
            ("does not speak for it", ethernet(OUT, FG2, ipv4("10.100.0.7", "10.100.0.14", 62))),
            ("does not speak for it", ethernet(OUT, FG1, arp("10.100.0.8", "10.100.0.14", FG1))),
            ("another MAC inside", ethernet(OUT, FG1, arp("10.100.0.7", "10.100.0.14", FG2))),
            ("ARP for 192.168.1.11, which is inside", ethernet(EVERYBODY, QG, arp("0.0.0.0", "192.168.1.11", QG))),
            ("with TTL 63", ethernet(OUT, FG1, ipv4("10.100.0.7", "10.100.0.14", 63, 17))),
            ("that quotes 192.168.1.11", ethernet(OUT, QG, error)),
            ("to a central port, but by", vxlan(1671, ethernet(SG, RED1, ipv4("192.168.1.11", "10.100.0.14", 63)))),
            ("to a central port, but for", vxlan(1671, ethernet(SG, HM1, ipv4("192.168.1.11", "192.168.2.12", 63)))),
            ("TTL 64, not 63", vxlan(1671, ethernet(SG, HM1, ipv4("192.168.1.11", "10.100.0.14", 64)))),
            ("both on h2", vxlan(1671, ethernet(RED2, SG, ipv4("10.100.0.14", "192.168.1.12", 63)))),
        ):
            self.assertIn(fault, faults(frame))


if __name__ == "__main__":
    unittest.main()
