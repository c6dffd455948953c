"""The errors of the demo: DemoError > PortsTakenError."""


class DemoError(Exception):
    """The demo cannot go on; the message is one sentence that says what happened and what to do next."""


class PortsTakenError(DemoError):
    """Something else listens on ports the demo needs; the message names each with its option."""
