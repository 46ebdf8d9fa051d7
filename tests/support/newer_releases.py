"""Offer a release 9999 of every pinned package: what a package index looks like on a later day.

Run as a program: the folder to fill with wheels, then the requirements files that name the packages. The wheels are
empty, and no requirements file has their hashes: an installer that picks one of them stops with an error.
"""

import re
import sys
import zipfile
from pathlib import Path

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[(?P<extras>[^]]+)\])?==", re.MULTILINE)
_VERSION = "9999"


def offer(folder: Path, requirements: str) -> int:
    """Write an empty wheel for each package that the text of a requirements file pins; return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    pins = {pin["name"]: pin["extras"] or "" for pin in _PIN.finditer(requirements)}
    for name, extras in pins.items():
        stem = f"{re.sub(r'[-_.]+', '_', name)}-{_VERSION}"
        provided = "".join(f"Provides-Extra: {extra.strip()}\n" for extra in extras.split(",") if extra)
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            info = f"{stem}.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {_VERSION}\n{provided}")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return len(pins)


if __name__ == "__main__":
    for file in sys.argv[2:]:
        sys.stdout.write(f"{offer(Path(sys.argv[1]), Path(file).read_text())} newer releases on offer\n")
