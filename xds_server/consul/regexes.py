"""Whether Envoy will take a regular expression: it refuses a whole response for one that it cannot use.

https://github.com/google/re2/wiki/Syntax . Python reads nearly the same language, so an expression has to be
good for Python, and hold nothing that only one of the two knows. What is in doubt is refused.
"""

import re
import warnings
from typing import Final

from xds_server.translate.regex_size import MOST, program_size

MAX_REGEX: Final = 512

_ESCAPED: Final = re.compile(r"\\[^\w]")
_CLASS: Final = re.compile(r"\[\^?\]?[^\]]*\]")
# What RE2 reads and Python does not becomes something plain before Python has a look.
_RE2_ONLY: Final = re.compile(r"\[:\^?[a-z]+:\]|\\p(?:[A-Z]|\{\^?\w+\})|\\z")
# What Python reads and RE2 does not: back-references and the like, look-around, conditions, atomic groups,
# comments, and the flags a, L, u and x.
_PYTHON_ONLY: Final = re.compile(r"\\[0-9ZNuU]|\(\?(?:[=!>#(]|<[=!]|P[=>]|[a-zA-Z-]*[aLux])")
_POSSESSIVE: Final = re.compile(r"[*+?}]\+")


def regex_flaw(text: str) -> str:
    """Tell what is wrong with a regular expression, fit after its name; empty if nothing is."""
    if not text or len(text) > MAX_REGEX:
        return f"is empty or longer than {MAX_REGEX} characters"
    if not text.isprintable():
        return "holds control characters"
    plain = _ESCAPED.sub("-", text)
    if _PYTHON_ONLY.search(plain) or _POSSESSIVE.search(_CLASS.sub("-", _RE2_ONLY.sub("a", plain))):
        return "holds what RE2 does not know: a look-around, a back-reference or the like"
    if unreadable := _as_python_reads(text):
        return unreadable
    if (size := program_size(text)) > MOST:
        return f"makes a program of up to {size} instructions, and Envoy takes {MOST}"
    return ""


def _as_python_reads(text: str) -> str:
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(_RE2_ONLY.sub("a", text))
    except (re.error, OverflowError, RecursionError) as error:
        return f"cannot be read ({getattr(error, 'msg', 'it is too much')})"
    return ""
