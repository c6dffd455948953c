"""From what is wanted to what Envoy is told: catalog, policy and proxy group in, Envoy resources out.

Everything here is pure: no clock, no randomness, no I/O, and the same bytes whatever the order of the
input. This is the only floor that builds Envoy messages. What cannot be built is left out and said in a
Problem; one bad service never costs another its resources.
"""

from xds_server.translate.last import Standpoint, Translation, only_services_differ
from xds_server.translate.packing import Draft, Reference
from xds_server.translate.translate import Translator
from xds_server.translate.understanding import Known, Understanding

__all__ = [
    "Draft",
    "Known",
    "Reference",
    "Standpoint",
    "Translation",
    "Translator",
    "Understanding",
    "only_services_differ",
]
