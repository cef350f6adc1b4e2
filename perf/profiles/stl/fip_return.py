"""Answers to floating IPs."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("fip-return")
