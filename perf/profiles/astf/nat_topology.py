"""The stations of a network for TRex's stateful mode: each with its MAC, in its VLAN, behind its router's gateway.

The other end needs none: TRex answers from where a connection came in, with its MACs and tag.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from trex.astf.topo import ASTFTopology, TopoGW, TopoVIF

NETWORKS = 16
FIRST_STATION = IPv4Address("10.0.4.0")


def mac(kind: int, number: int) -> str:
    return ":".join(f"{byte:02x}" for byte in bytes([2, kind]) + number.to_bytes(4, "big"))


def get_topo(network: int = 0, stations: int = 1024, port: int = 0, **_: Any) -> ASTFTopology:
    """`network` is one of 16; `port` is TRex's, and even: the one that is wired to the access device."""
    network, stations, port = int(network), int(stations), int(port)
    vifs, gateways = [], []
    for number in range(stations):
        address, interface = str(FIRST_STATION + number), f"{port}.{number + 1}"
        vifs.append(TopoVIF(interface, mac(0x10, network + NETWORKS * number), src_ipv4=address, vlan=101 + network))
        gateways.append(TopoGW(interface, address, address, mac(0x30, network)))
    return ASTFTopology(vifs, gateways)
