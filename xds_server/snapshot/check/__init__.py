"""What is checked of resources before they are served: each by itself, and then all together.

A bad endpoint is left out of its assignment; any other bad resource is withheld (`snapshot.withhold`), and
everything else goes on.
"""

from xds_server.snapshot.check.references import close_references
from xds_server.snapshot.check.resource import Checked, check
from xds_server.snapshot.check.together import check_together

__all__ = ["Checked", "check", "check_together", "close_references"]
