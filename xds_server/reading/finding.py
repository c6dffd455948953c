"""What is wrong in a file that a person wrote, with the line and the key."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One thing that is wrong: the line (counted from 1; 0 for the file as a whole), the key, a sentence."""

    line: int
    key: str
    sentence: str

    def at(self, file: str) -> str:
        """Give the finding as one line of text: `FILE:LINE: KEY: SENTENCE`."""
        place = f"{file}:{self.line}" if self.line else file
        return ": ".join(part for part in (place, self.key, self.sentence) if part)


class ReadError(Exception):
    """A file cannot be used; `findings` holds everything that was found wrong in one go, in file order."""

    def __init__(self, file: str, findings: tuple[Finding, ...]) -> None:
        self.file = file
        self.findings = tuple(sorted(findings))
        super().__init__("\n".join(finding.at(file) for finding in self.findings))
