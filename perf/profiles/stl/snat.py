"""Stations that share their router's address, to the outside."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("snat")
