#!/usr/bin/env python3
"""Whether profiles and scripts make the flows of the benchmarks: all of them, no others, byte by byte.

VTEPD_PERF names the program whose captures they are compared with (target/release/vtepd-perf).
"""

from __future__ import annotations

import base64
import inspect
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import lbr_trex_client  # noqa: F401  TRex's own packages become importable

PROFILES = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROFILES), str(PROFILES / "stl"), str(PROFILES / "astf")]

import field_engine  # noqa: E402
import nat  # noqa: E402
import nat_topology  # noqa: E402
import range_engine  # noqa: E402
from measure import Api, Ports, Trex  # noqa: E402
from testbed import arguments, search  # noqa: E402
from trex.stl.api import STLClient, STLProfile, TRexError  # noqa: E402
from trex.utils.parsing_opts import decode_multiplier  # noqa: E402
from vtepd_profile import size  # noqa: E402
from vtepd_workloads import WORKLOADS  # noqa: E402

import dpkt  # noqa: E402  which comes with TRex's client

PERF = os.environ.get("VTEPD_PERF", str(PROFILES.parent.parent / "target/release/vtepd-perf"))
SCRIPT = PROFILES / "pktgen" / "vtepd.lua"

# Names of profiles, what `vtepd-perf frames` calls them, and options that both understand. Sizes go beyond every field
# that comes round: 1024 stations of a network, 16384 source ports, 32768 remotes.
CASES: list[tuple[str, str, str]] = [
    ("decap", "decap", "--flows 1k"),
    ("decap", "decap", "--flows 20k --uplink-mac 3c:fd:fe:00:00:01"),
    ("encap", "encap", "--flows 20k"),
    ("routed", "routed", "--flows 20k"),
    ("routed", "routed", "--flows 5k --routers 1000"),
    ("dvr-in", "dvr-in", "--flows 20k"),
    ("snat", "snat", "--flows 1"),
    ("snat", "snat", "--flows 40k"),
    ("snat", "snat", "--flows 20k --inside vlan"),
    ("snat-return", "snat --way return", "--flows 40k"),
    ("fip", "fip", "--flows 20k"),
    ("fip", "fip", "--flows 1k --inside vlan"),
    ("fip-return", "fip --way return", "--flows 20k"),
    ("fip-return", "fip --way return", "--flows 1k --inside vlan"),
    ("new-sessions", "new-sessions", "--flows 40k"),
    ("flood", "flood", "--vteps 128"),
]


def export(command: str, folder: str) -> set[bytes]:
    """Frames of a workload; the state is beside them."""
    workload, *options = command.split()
    subprocess.run([PERF, "frames", workload, folder, *options], check=True, stdout=subprocess.DEVNULL)
    return read(folder, "frames")


def read(folder: str, name: str) -> set[bytes]:
    with open(f"{folder}/{name}.pcap", "rb") as file:
        return {frame for _, frame in dpkt.pcap.Reader(file)}


def exported(command: str) -> set[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return export(command, folder)


def load(name: str, options: str, direction: int = 0) -> list[dict[str, Any]]:
    """The streams as TRex loads them."""
    path = PROFILES / "stl" / f"{name.replace('-', '_')}.py"
    profile = STLProfile.load(str(path), direction, tunables=options.split())
    return [stream.to_json() for stream in profile.get_streams()]


def rate(stream: dict[str, Any]) -> float:
    return stream["mode"]["rate"]["value"]


def length(stream: dict[str, Any]) -> int:
    return len(base64.b64decode(stream["packet"]["binary"]))


def turns(stream: dict[str, Any]) -> int:
    """How many flows it has."""
    counter = next(i for i in stream["vm"]["instructions"] if i.get("name") == "turn" and i["type"] == "flow_var")
    return counter["max_value"] - counter["min_value"] + 1


def grown(frame: bytes, outer: int, tag: int, size: int) -> bytes:
    """A capture's frame with zeroes at its end, so that the inner frame has that size."""
    more = size - (len(frame) - outer - tag)
    packet = bytearray(frame + bytes(more))
    for ip in (14, outer + 14 + tag) if outer else (14 + tag,):
        for at in (ip + 2, ip + 20 + 4):
            packet[at : at + 2] = (int.from_bytes(packet[at : at + 2], "big") + more).to_bytes(2, "big")
        field_engine.fix_ipv4(packet, ip)
    # The outer one has no UDP checksum.
    field_engine.fix_udp(packet, ip, ip + 20)
    return bytes(packet)


def sent(streams: list[dict[str, Any]], cores: int = 1) -> Iterator[bytes]:
    """One round of all flows, by so many cores."""
    for stream in streams:
        for core in range(cores):
            share = len(range(core, turns(stream), cores))
            yield from field_engine.packets(stream, share, core, cores)


class Streams(unittest.TestCase):
    def same(self, frames: list[bytes], expected: set[bytes]) -> None:
        self.assertEqual(len(frames), len(set(frames)), "a flow comes twice in a round")
        wrong, missing = sorted(set(frames) - expected), sorted(expected - set(frames))
        if wrong or missing:
            pair = [some[0].hex() if some else None for some in (wrong, missing)]
            self.fail(f"{len(wrong)} frames are wrong, {len(missing)} are missing: {pair}")

    def test_packets_are_those_of_the_captures(self) -> None:
        for name, command, options in CASES:
            with self.subTest(name, options=options):
                self.same(list(sent(load(name, options))), exported(f"{command} {options}"))

    def test_cores_share_the_flows_and_seeds_change_their_order(self) -> None:
        expected = exported("decap --flows 1k")
        rounds = [list(sent(load("decap", f"--flows 1k --seed {seed}"), cores)) for seed in (1, 2) for cores in (1, 3)]
        for one in rounds:
            self.same(one, expected)
        self.assertNotEqual(rounds[0], rounds[2])

    def test_no_flow_comes_twice_in_a_row(self) -> None:
        for stream in load("decap", "--flows 100k"):
            frames = list(field_engine.packets(stream, 3000))
            self.assertTrue(all(a != b for a, b in zip(frames, frames[1:])))

    def test_without_inner_checksum_only_that_differs(self) -> None:
        frames = list(sent(load("decap", "--flows 1k --checksum none")))
        at = 50 + 14 + 20 + 6
        expected = {frame[:at] + bytes(2) + frame[at + 2 :] for frame in exported("decap --flows 1k")}
        self.same(frames, expected)

    def test_longer_packets_differ_in_lengths_and_checksums_only(self) -> None:
        for name, outer, tag in (("decap", 50, 0), ("encap", 0, 4)):
            for wanted in ("1514", "imix"):
                streams = load(name, f"--flows 1k --size {wanted}")
                frames = list(sent(streams))
                sizes = (64, 590, 1464) if wanted == "imix" else (1514,)
                short = exported(f"{name} --flows 1k")
                self.same(frames, {grown(frame, outer, tag, longer) for frame in short for longer in sizes})
                packets = sum(rate(stream) for stream in streams)
                octets = sum(rate(stream) * (length(stream) - outer - tag - 14) for stream in streams)
                self.assertAlmostEqual(octets / packets, 342 if wanted == "imix" else 1500)

    def test_the_mix_has_the_packets_that_captures_draw_from(self) -> None:
        for direction, way in ((0, "out"), (1, "return")):
            streams = load("mix", "", direction)
            frames = set(sent(streams))
            drawn = [exported(f"mix --way {way} --seed {seed}") for seed in range(8)]
            self.assertEqual(set().union(*drawn) - frames, set())
            # Seven of twelve are short: all of those are drawn sooner or later, but for broadcasts, which are few.
            short = {frame for frame in frames - set().union(*drawn) if len(frame) in (68, 114)}
            self.assertEqual({frame for frame in short if frame[:6] != b"\xff" * 6}, set())
            kinds: dict[str, float] = {}
            for stream in streams:
                kind = stream["name"].split("-")[0]
                kinds[kind] = kinds.get(kind, 0) + rate(stream)
            broadcasts = kinds.pop("broadcasts", 0)
            self.assertEqual(len(set(kinds.values())), 1, kinds)
            self.assertAlmostEqual(broadcasts / (broadcasts + sum(kinds.values())), 1 / 256 if way == "out" else 0)

    def test_vteps_introduce_themselves_as_in_the_captures(self) -> None:
        for vteps in (16, 128):
            with tempfile.TemporaryDirectory() as folder:
                export(f"flood --vteps {vteps}", folder)
                expected = read(folder, "introductions")
            self.assertEqual(len(expected), vteps)
            self.same(list(sent(load("introductions", f"--vteps {vteps}"))), expected)

    def test_what_no_field_engine_can_count_is_refused(self) -> None:
        for name, options in (("snat", "--flows 1100k"), ("fip", "--flows 66k"), ("new-sessions", "--flows 5M")):
            with self.subTest(name), self.assertRaisesRegex(TRexError, "powers of two|floating IPs|go round"):
                load(name, options)

    def test_every_workload_has_a_profile_and_its_streams_fit_a_server(self) -> None:
        for name in WORKLOADS.keys() - {"io", "mix-sessions"}:
            for stream in load(name, "--flows 1k"):
                offsets = [i.get("pkt_offset", 0) for i in stream["vm"]["instructions"]]
                self.assertLess(max(offsets), length(stream))


class Stateful(unittest.TestCase):
    def test_connections_are_of_stations_that_the_state_knows(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            export("snat --inside vlan --flows 16384", folder)
            lines = Path(folder, "state.jsonl").read_text().splitlines()
        put = [json.loads(line)["put"] for line in lines]
        ports = [port for some in put for port in some.get("ports", {}).values() if "vlan" in port]
        networks, routers = put[0]["networks"], put[0]["routers"].values()
        gateways = {r["interfaces"][0]["network"]: r["interfaces"][0]["mac"] for r in routers}
        for network in (0, 7):
            topology = nat_topology.get_topo(network=network)
            known = {
                (port["mac"], port["addresses"][0], port["vlan"], gateways[port["network"]])
                for port in ports
                if networks[port["network"]]["segment"]["vni"] == 1000 + network
            }
            ways = zip(topology.vifs, topology.gws)
            self.assertEqual({(v.src_mac, g.src_start, v.vlan, g.dst_mac) for v, g in ways}, known)
        for protocol in ("tcp", "udp"):
            profile = nat.register().get_profile(["--protocol", protocol]).to_json()
            client, server = profile["ip_gen_dist_list"]
            self.assertEqual(client["ip_start"], min(v.src_ipv4 for v in topology.vifs))
            self.assertEqual(client["ip_end"], "10.0.7.255")
            self.assertEqual((server["ip_start"], server["ip_end"]), ("198.19.0.0", "198.19.127.255"))


class Range(unittest.TestCase):
    def test_headers_are_those_of_a_network_in_the_captures(self) -> None:
        # Flows of all networks, and those of one.
        for workload, flows, each in (
            ("encap", "16k", 1000),
            ("encap", "32768", 2048),
            ("routed", "16k", 1000),
            ("snat --inside vlan", "16k", 1000),
            ("snat --inside vlan", "65536", 4096),
            ("fip --inside vlan", "16384", 1024),
        ):
            name = workload.split()[0]
            frames = exported(f"{workload} --flows {flows}")
            for network in (0, 5):
                with self.subTest(workload, flows=flows, network=network):
                    made = range_engine.run(SCRIPT, WORKLOAD=name, NETWORK=str(network), FLOWS=str(each))
                    # Of routed, the tag is the sender's.
                    vlan = 101 + (network + (name == "routed")) % 16
                    headers = [range_engine.header_of(frame) for frame in frames]
                    expected = {tuple(sorted(h.items())) for h in headers if h["vlan_id"] == vlan}
                    self.assertEqual(len(expected), each)
                    # Twice round: all fields begin again together.
                    self.assertEqual({tuple(sorted(h.items())) for h in made.headers(2 * each)}, expected)
                    self.assertIn(("set_range", 0, "on"), made.calls)

    def test_a_capture_is_played_and_what_a_range_cannot_is_refused(self) -> None:
        played = range_engine.run(SCRIPT, WORKLOAD="pcap")
        self.assertEqual((played.fields, ("start", 0) in played.calls), ({}, True))
        for variables in ({"WORKLOAD": "decap"}, {"WORKLOAD": "encap", "FLOWS": "1500"}):
            with self.assertRaisesRegex(Exception, "capture|multiple"):
                range_engine.run(SCRIPT, **variables)


class Box:
    """A TRex server with a box that forwards so many packets a second. Calls are those that the real client takes."""

    def __init__(self, pps: float, copies: int = 1) -> None:
        self.pps, self.copies = pps, copies
        self.added: dict[int, list[Any]] = {}
        self.sent: list[tuple[list[Any], float]] = []
        self.stats: dict[int, dict[str, int]] = {}

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, name)
        if not callable(own) or name.startswith("_"):
            return own

        def call(*given: Any, **named: Any) -> Any:
            inspect.signature(getattr(STLClient, name)).bind(self, *given, **named)
            return own(*given, **named)

        return call

    def reset(self, ports: list[int]) -> None:
        self.added = {}

    def set_port_attr(self, ports: list[int], promiscuous: bool) -> None:
        assert promiscuous

    def remove_all_streams(self, ports: list[int]) -> None:
        self.added = {}

    def add_streams(self, streams: list[Any], ports: list[int]) -> None:
        self.added[ports[0]] = streams

    def clear_stats(self, ports: list[int]) -> None:
        self.stats = {port: {"opackets": 0, "ipackets": 0} for port in ports}

    def get_stats(self, ports: list[int]) -> dict[int, dict[str, int]]:
        return self.stats

    def start(self, ports: list[int], mult: str, duration: float, force: bool) -> None:
        multiplier = decode_multiplier(mult)
        assert multiplier["type"] in ("pps", "raw"), mult
        rate = multiplier["value"]
        for port in ports:
            self.sent.append((self.added[port], rate))
            if self.stats:
                self.stats[port]["opackets"] += round(rate * duration)
                forwarded = min(round(rate * duration), int(self.pps * duration))
                self.stats[1 - port]["ipackets"] += forwarded * self.copies

    def wait_on_traffic(self, ports: list[int], timeout: float) -> None:
        pass


def trex(box: Box, **more: Any) -> Trex:
    quiet: dict[str, Any] = {"report": lambda _: None, "settle_seconds": 0.0}
    return Trex(client=box, ports=Ports(), streams={0: ["workload"]}, **(quiet | more))


class Search(unittest.TestCase):
    def found(self, box: Box, options: str, **more: Any) -> list[dict[str, Any]]:
        given = arguments(["search", "decap", *options.split()])
        measurer = trex(box, **more)
        measurer.prepare()
        return search(given, measurer)

    def test_the_highest_rates_are_found_for_each_loss_ratio(self) -> None:
        none, some = self.found(Box(3_000_000), "--max-rate 10M --loss 0 --loss 0.005")
        for bounds, rate in ((none, 3_000_000), (some, 3_000_000 / 0.995)):
            self.assertLessEqual(bounds["lower_pps"], rate)
            self.assertGreaterEqual(bounds["upper_pps"], rate)
            self.assertGreater(bounds["lower_pps"], rate * 0.99)

    def test_rfc_2544_decides_by_one_long_trial(self) -> None:
        [result] = self.found(Box(3_000_000), "--max-rate 10M --rfc2544")
        self.assertEqual((result["goal"]["final_trial_duration"], result["goal"]["exceed_ratio"]), (60, 0))
        self.assertLessEqual(result["lower_pps"], 3_000_000)
        self.assertGreater(result["lower_pps"], 2_970_000)

    def test_copies_are_counted_once_and_a_dead_box_has_no_rate(self) -> None:
        [result] = self.found(Box(1_000_000, copies=16), "--max-rate 2M --loss 0", copies=16)
        self.assertGreater(result["lower_pps"], 990_000)
        [result] = self.found(Box(0), "--max-rate 2M --loss 0")
        self.assertIsNone(result["throughput_pps"])

    def test_vteps_and_sessions_come_before_the_workload(self) -> None:
        box = Box(1e9)
        one = trex(box, introduce=["arp"], opening={1: ["open"]}, opening_flows=1000)
        one.prepare()
        one.measure(1.0, 5000.0)
        self.assertEqual([streams for streams, _ in box.sent], [["arp"], ["open"], ["workload"]])
        self.assertEqual(box.sent[-1][1], 5000.0)

    def test_a_command_runs_before_each_trial_and_vteps_are_introduced_again(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            box, log = Box(1e9), Path(folder, "log")
            one = trex(box, introduce=["arp"], before_trial=f"echo again >>{log}")
            one.measure(1.0, 5000.0)
            one.measure(1.0, 5000.0)
            self.assertEqual(log.read_text(), "again\nagain\n")
            self.assertEqual(len([streams for streams, _ in box.sent if streams == ["arp"]]), 2)

    def test_the_state_is_loaded_in_order_and_drops_are_told(self) -> None:
        posted: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.answer({})

            def do_GET(self) -> None:
                self.answer({"items": [{"reason": "unknown-vni", "packets": 7}]})

            def answer(self, body: Any) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            api = Api(f"http://127.0.0.1:{server.server_port}/")
            api.load([b"1", b"2"])
            self.assertEqual(api.drops(), {"unknown-vni": 7})
            api.wait_until_healthy()
            server.shutdown()
        self.assertEqual(posted, [("/v1/transaction", b"1"), ("/v1/transaction", b"2")])

    def test_sizes_have_units(self) -> None:
        self.assertEqual([size("64k"), size("4M"), size("17")], [64_000, 4_000_000, 17])


if __name__ == "__main__":
    unittest.main()
