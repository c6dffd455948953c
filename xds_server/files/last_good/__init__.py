"""The last good state on disk: what is served, kept for a start at which its source does not answer.

`codec` turns values into messages and back, `body` and `envelope` make the file of them, `store` keeps it in
its directory, `loading` judges what is there, `keeper` does all of it beside a running server.
"""

from xds_server.files.last_good.body import LastGood
from xds_server.files.last_good.keeper import Keeper, KeepOptions, Served
from xds_server.files.last_good.source import SourceId

__all__ = ["KeepOptions", "Keeper", "LastGood", "Served", "SourceId"]
