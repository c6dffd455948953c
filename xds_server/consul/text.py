"""Foreign text made fit for a sentence: names from Consul are hostile (control characters, 300 kB)."""

from typing import Final

_SHOWN: Final = 80


def shown(text: str) -> str:
    """Give text in double quotes, as ASCII with everything else escaped, cut at 80 characters."""
    cut = text[:_SHOWN].encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{cut}"' if len(text) <= _SHOWN else f'"{cut}..."'


def without(said: str, *secrets: str) -> str:
    """Give what an error answer says for a sentence, empty for nothing; a proxy may have echoed us."""
    for secret in filter(None, secrets):
        said = said.replace(secret, "<secret>")
    return shown(said) if said else ""
