"""Stations with floating IPs, to the outside."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("fip")
