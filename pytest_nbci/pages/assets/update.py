# ruff: noqa: INP001 - a script beside the files it fetches, not a module of the package
"""Fetches the libraries that pages carry from the npm registry and checks what came.

    python pytest_nbci/pages/assets/update.py            # as listed here; a wrong hash is an error
    python pytest_nbci/pages/assets/update.py --print    # print the hashes, after a new version

Needs ``npm``. ASSETS.md next to this file is written from the same list.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Package:
    """One npm package: the files taken from it, and the sha256 of its archive."""

    name: str
    version: str
    sha256: str
    folder: str
    files: tuple[str, ...]
    use: str
    licence: str = "LICENSE"


PACKAGES = (
    Package(
        "plotly.js-cartesian-dist-min",
        "4.1.1",
        "c5f9a84666b97e571a04de689e09319869e60900e265c89eac2f71d0b5a0de88",
        "plotly",
        ("plotly-cartesian.min.js",),
        "plotly figures of the common kinds",
    ),
    Package(
        "plotly.js-strict-dist-min",
        "4.1.1",
        "95dba85554c9a6b8cdc45776a9803affb8aaa2eac0ec1c3c5f5a3194d978a63e",
        "plotly",
        ("plotly-strict.min.js",),
        "all other plotly figures (3D, maps, polar, …), without `eval`",
    ),
    Package(
        "vega",
        "6.4.0",
        "3521fb6ff68a94a40323954f0ba4484ba4014b157bfd37f89a3b063082320c42",
        "vega",
        ("build/vega.min.js",),
        "Vega figures",
    ),
    Package(
        "vega-lite",
        "6.4.3",
        "24260f85e6f5bfe1069505f7c5c2b9863181ac413ef1030746f0a80c93991ce5",
        "vega",
        ("build/vega-lite.min.js",),
        "Vega-Lite and altair figures",
        "vega-lite.LICENSE",
    ),
    Package(
        "vega-embed",
        "7.3.0",
        "d9a958ced3240f0418df7d5e12e97dba6e63cecda15b8403e47a0db7eb6ea859",
        "vega",
        ("build/vega-embed.min.js",),
        "draws both; holds Vega's interpreter, so that no `eval` is needed",
        "vega-embed.LICENSE",
    ),
    Package(
        "katex",
        "0.19.1",
        "24da5a599eb2fcede2e270b99a6ff48bca816beecc95feeb84e8cccbd1bb34fd",
        "katex",
        ("dist/katex.min.js", "dist/katex.min.css", "dist/fonts/*.woff2"),
        "formulas, set when the page is made",
    ),
)


def main() -> int:
    """Fetch, check, unpack and describe every package."""
    parser = argparse.ArgumentParser(description="Fetch the libraries that pages carry.")
    parser.add_argument("--print", action="store_true", dest="show", help="print hashes only")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            archive = fetch(package, Path(folder))
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            if options.show:
                sys.stdout.write(f"{package.name} {package.version} {found}\n")
                continue
            if found != package.sha256:
                sys.stderr.write(f"{archive.name}: sha256 {found}, expected {package.sha256}\n")
                return 1
            rows += unpack(archive, package)
    if rows:
        (HERE / "ASSETS.md").write_text(table(rows), encoding="utf-8")
    return 0


def fetch(package: Package, folder: Path) -> Path:
    """The package's archive, as ``npm pack`` leaves it in ``folder``."""
    command = ["npm", "pack", "--json", f"{package.name}@{package.version}"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    entries = report.values() if isinstance(report, dict) else report  # npm 11 gives either
    return folder / str(next(iter(entries))["filename"])


def unpack(archive: Path, package: Package) -> list[tuple[str, ...]]:
    """Write the wanted files and the licence; returns a table row for each package."""
    target = HERE / package.folder
    size = 0
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            name = PurePosixPath(member.name).relative_to("package")
            wanted = any(name.match(pattern) for pattern in package.files)
            licence = str(name) in {"LICENSE", "LICENSE.txt"}
            source = tar.extractfile(member) if wanted or licence else None
            if source is None:
                continue
            data = source.read()
            path = target / (package.licence if licence else name.name)
            if name.suffix == ".woff2":
                path = target / "fonts" / name.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            size += 0 if licence else len(data)
        manifest = tar.extractfile("package/package.json")
        kind = json.load(manifest)["license"] if manifest is not None else "?"
    licence_path = f"{package.folder}/{package.licence}"
    return [(package.name, package.version, kind, licence_path, f"{size / 1e6:.2f}", package.use)]


def table(rows: list[tuple[str, ...]]) -> str:
    """ASSETS.md."""
    lines = [
        "# Libraries that pages carry",
        "",
        "Unchanged files from the npm registry, fetched and checked by `update.py`, which also",
        "writes this table. A page holds a library only if it has a figure that needs it.",
        "",
        "| package | version | licence | text | MB | for |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
