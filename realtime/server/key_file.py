"""A key that is in a file: the server's own, or that of a provider."""

from pathlib import Path


def read_key_file(path: Path) -> str:
    """The one key that it holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds no key, or one that no header can carry; says nothing of what is there.
    """
    try:
        key = path.read_text().strip()
    except UnicodeDecodeError:
        raise ValueError("The file is not text.") from None
    if not key:
        raise ValueError("The file holds no key.")
    refuse_whitespace(key, "The file")
    return key


def refuse_whitespace(key: str, holder: str) -> None:
    """A key of several words is a file of several keys, or a mistake; nobody could send it."""
    if any(character.isspace() for character in key):
        raise ValueError(f"{holder} holds a key with whitespace in it.")
