#!/usr/bin/env python3
"""Throughput of a box between two ports of a TRex server: RFC 2544, and MLRsearch for several loss ratios at once.

    testbed.py load FOLDER --api http://DUT:4788         the state that `vtepd-perf frames` has written
    testbed.py search decap --flows 100k --trex TREX     the highest rates without loss and with 0.5 %
    testbed.py search decap --rfc2544 --trex TREX        trials of 60 s, no packet lost in any
    testbed.py trial decap --rate 5M --duration 10 --trex TREX

Needs what requirements.txt names; perf/README.md has the wiring.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lbr_trex_client  # noqa: F401  TRex's own packages become importable

sys.path.insert(0, str(Path(__file__).parent / "stl"))

from measure import Api, Ports, Trex  # noqa: E402
from MLRsearch import AbstractMeasurer, Config, MultipleLossRatioSearch, SearchGoal  # noqa: E402
from trex.stl.api import STLClient, TRexError  # noqa: E402
from vtepd_profile import add_tunables, options_of, size  # noqa: E402
from vtepd_stream import introductions  # noqa: E402
from vtepd_workloads import MEASURED, WORKLOADS  # noqa: E402

# RFC 2544, section 24: a trial lasts at least 60 seconds. Section 26.1: no frame is lost.
RFC2544_SECONDS = 60.0


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    load = commands.add_parser("load", help="posts the transactions of a folder")
    load.add_argument("folder", type=Path)
    search = commands.add_parser("search", help="looks for the highest rates")
    trial = commands.add_parser("trial", help="sends once, at one rate")
    for command in (search, trial):
        add_testbed(command)
        add_tunables(command)
    add_goals(search)
    trial.add_argument("--rate", type=size, required=True, help="packets a second of each port that sends")
    trial.add_argument("--duration", type=float, default=10.0, help="seconds")
    for command in (load, search, trial):
        command.add_argument("--api", required=command is load, help="of vtepd, to load it or to tell its drops")
        command.add_argument("--token", help="for the API, where it asks for one")
    return parser.parse_args(given)


def add_testbed(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("workload", choices=MEASURED)
    add("--trex", default="127.0.0.1", help="the TRex server, started with -i")
    add("--access-port", type=int, default=0, help="its port wired to the access device")
    add("--underlay-port", type=int, default=1, help="its port wired to the underlay's device")
    add("--before-trial", metavar="COMMAND", help="run before each trial; then VTEPs introduce themselves again")
    add("--json", type=Path, metavar="FILE", help="also writes what was found to a file")


def add_goals(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--loss", type=float, action="append", help="loss ratio that is allowed; again for another (0 and 0.005)")
    add("--trial", type=float, default=1.0, help="seconds of the longest trials")
    add("--sum", type=float, default=21.0, help="seconds of trials until a rate is decided")
    add("--exceed", type=float, default=0.5, help="part of these seconds that may lose more")
    add("--width", type=float, default=0.005, help="how near the bounds are at the end, as a ratio")
    add("--rfc2544", action="store_true", help="one trial of 60 s decides a rate")
    add("--min-rate", type=size, default=10_000, help="packets a second of each port that sends")
    add("--max-rate", type=size, default=14_880_000, help="the same; of the wire or of the generator, the lower one")
    add("--minutes", type=float, default=60.0, help="how long the search may take")


def goals(given: argparse.Namespace) -> list[SearchGoal]:
    first = SearchGoal(
        loss_ratio=0.0,
        exceed_ratio=given.exceed,
        relative_width=given.width,
        initial_trial_duration=min(1.0, given.trial),
        final_trial_duration=given.trial,
        duration_sum=max(given.sum, given.trial),
        preceding_targets=2,
        expansion_coefficient=2,
        fail_fast=False,
    )
    if given.rfc2544:
        seconds = max(RFC2544_SECONDS, given.trial)
        first = replace(first, exceed_ratio=0.0, final_trial_duration=seconds, duration_sum=seconds)
        return [first]
    return [replace(first, loss_ratio=loss) for loss in given.loss or (0.0, 0.005)]


def search(given: argparse.Namespace, measurer: AbstractMeasurer) -> list[dict[str, Any]]:
    """For each loss ratio, the highest rate with no more of it, and the lowest with more."""
    config = Config(
        goals=goals(given),
        min_load=given.min_rate,
        max_load=given.max_rate,
        search_duration_max=given.minutes * 60,
        warmup_duration=1.0,
    )
    found = []
    for goal, result in MultipleLossRatioSearch(config=config).search(measurer=measurer, debug=lambda _: None).items():
        lower, upper = result.relevant_lower_bound, result.relevant_upper_bound
        throughput = result.conditional_throughput
        found.append(
            {
                "goal": asdict(goal),
                "lower_pps": float(lower) if lower else None,
                "upper_pps": float(upper) if upper else None,
                "throughput_pps": float(throughput) if throughput else None,
            }
        )
    return found


def connect(given: argparse.Namespace, api: Api | None) -> Trex:
    """The workload on a server, ready to be sent."""
    # How many copies of a few broadcasts come out cannot be told apart from a loss.
    options, workload = replace(options_of(given), broadcasts=False), WORKLOADS[given.workload]
    ports = Ports(given.access_port, given.underlay_port)
    client = STLClient(server=given.trex)
    try:
        client.connect()
    except TRexError as error:
        sys.exit(f"no TRex server at {given.trex} (t-rex-64 -i --stl starts one): {error}")
    client.acquire(ports=ports.both(), force=True)
    opening = WORKLOADS[workload.after].streams(options) if workload.after else {}
    trex = Trex(
        client=client,
        ports=ports,
        streams={ports.at(side): streams for side, streams in workload.streams(options).items()},
        copies=options.vteps if given.workload == "flood" else 1,
        before_trial=given.before_trial,
        api=api,
        introduce=[introductions(options)],
        opening={ports.at(side): streams for side, streams in opening.items()},
        opening_flows=options.flows,
    )
    trex.prepare()
    return trex


def show(found: list[dict[str, Any]]) -> None:
    for result in found:
        loss, rate = result["goal"]["loss_ratio"], result["throughput_pps"]
        name = "no loss (NDR)" if loss == 0 else f"at most {loss:.2%} lost (PDR)"
        said = "less than the least rate" if rate is None else f"{rate / 1e6:.4f} Mpps of each port that sends"
        print(f"{name}: {said}")


def main() -> None:
    given = arguments()
    api = Api(given.api, given.token) if given.api else None
    if given.command == "load":
        assert api  # it is required
        transactions = (given.folder / "state.jsonl").read_bytes().splitlines()
        api.load(transactions)
        print(f"{len(transactions)} transactions")
        return
    before = api.drops() if api else {}
    trex = connect(given, api)
    try:
        if given.command == "trial":
            found = [asdict(trex.measure(given.duration, given.rate))]
        else:
            found = search(given, trex)
            show(found)
    finally:
        trex.client.disconnect()
    # A box that was started anew in between counts from zero: no difference is below zero.
    drops = {reason: count - before.get(reason, 0) for reason, count in (api.drops() if api else {}).items()}
    drops = {reason: count for reason, count in drops.items() if count > 0}
    if drops:
        print(f"dropped by the box, all trials together: {drops}")
    if given.json:
        about = {"workload": given.workload, "options": asdict(options_of(given)), "found": found, "drops": drops}
        given.json.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
