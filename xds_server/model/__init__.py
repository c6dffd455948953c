"""The values everything else speaks in: catalog, policy, secret, proxy, problem.

This floor knows the standard library only: no protobuf, no files, no network, no clock.
Every value is frozen and complete, and sorted where it is made, so that two values that mean the
same compare equal, and a value that did not change can keep its identity.
"""
