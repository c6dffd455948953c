"""Asking a real Envoy before anyone else: whether it would load what has changed (`--mode validate`)."""

from xds_server.preflight.envoy import EnvoyCheck

__all__ = ["EnvoyCheck"]
