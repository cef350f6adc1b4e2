"""Real connections of stations through a router that translates, for TRex's stateful mode (RFC 9693).

Whatever port they were given outside is answered: nothing has to be known of the box. Stations are those of one network
on the access port (their addresses are the same in every network, and TRex tells clients by address), which `vtepd-perf
frames snat --inside vlan --flows 16384` makes known. Start with the multiplier as connections a second:

    topo_load -f astf/nat_topology.py -t --network 0
    start -f astf/nat.py -m 100000 -t --protocol tcp
"""

from __future__ import annotations

import argparse
from ipaddress import IPv4Address
from typing import Any

from trex.astf.api import (
    ASTFAssociationRule,
    ASTFGlobalInfo,
    ASTFIPGen,
    ASTFIPGenDist,
    ASTFIPGenGlobal,
    ASTFProfile,
    ASTFProgram,
    ASTFTCPClientTemplate,
    ASTFTCPServerTemplate,
    ASTFTemplate,
)

FIRST_STATION = IPv4Address("10.0.4.0")
FIRST_REMOTE = IPv4Address("198.19.0.0")
REMOTES = 32_768
PORT = 443
# The external network leaves room for a tag: 1500 bytes of Ethernet payload, less IPv4 and TCP.
MSS = 1460


class Profile:
    """Transactions of a question and an answer."""

    def get_profile(self, tunables: list[str], **_: Any) -> ASTFProfile:
        parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        add = parser.add_argument
        add("--protocol", choices=("tcp", "udp"), default="tcp")
        add("--stations", type=int, default=1024, help="of the network, 1024 at most")
        add("--question", type=int, default=64, help="bytes from a station")
        add("--answer", type=int, default=64, help="bytes that come back")
        add("--hold", type=int, default=0, help="milliseconds that a connection stays open")
        given = parser.parse_args(tunables)
        client, server = programs(given)
        where = addresses(given.stations)
        template = ASTFTemplate(
            client_template=ASTFTCPClientTemplate(program=client, ip_gen=where, port=PORT, cps=1),
            server_template=ASTFTCPServerTemplate(program=server, assoc=ASTFAssociationRule(port=PORT)),
            tg_name=given.protocol,
        )
        tuned = ASTFGlobalInfo()
        tuned.tcp.mss = MSS
        return ASTFProfile(
            default_ip_gen=where,
            default_c_glob_info=tuned,
            default_s_glob_info=tuned,
            templates=[template],
        )


def addresses(stations: int) -> ASTFIPGen:
    if not 1 <= stations <= 1024:
        raise ValueError("a network has 1024 stations")
    return ASTFIPGen(
        # Each pair of TRex's ports has these addresses: there is one.
        glob=ASTFIPGenGlobal(ip_offset="0.0.0.0"),
        dist_client=of(FIRST_STATION, stations),
        dist_server=of(FIRST_REMOTE, REMOTES),
    )


def of(first: IPv4Address, count: int) -> ASTFIPGenDist:
    return ASTFIPGenDist(ip_range=[str(first), str(first + count - 1)], distribution="seq")


def programs(given: argparse.Namespace) -> tuple[ASTFProgram, ASTFProgram]:
    question, answer = bytes(given.question), bytes(given.answer)
    if given.protocol == "udp":
        client, server = ASTFProgram(stream=False), ASTFProgram(stream=False)
        client.send_msg(question)
        client.recv_msg(1)
        if given.hold:
            client.delay(1000 * given.hold)
        server.recv_msg(1)
        server.send_msg(answer)
        return client, server
    client, server = ASTFProgram(), ASTFProgram()
    client.send(question)
    client.recv(len(answer))
    if given.hold:
        client.delay(1000 * given.hold)
    server.recv(len(question))
    server.send(answer)
    return client, server


def register() -> Profile:
    return Profile()
