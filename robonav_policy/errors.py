"""What can be wrong with what a robot is given; each message says what, where, and what to do."""

from __future__ import annotations


class PolicyError(Exception):
    """Any of the errors below."""


class BundleError(PolicyError):
    """A bundle is not whole, not one of ours, or of another version."""


class ScanError(PolicyError):
    """A scan, a pose or a goal is none that the policy can act on."""
