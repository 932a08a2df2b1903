"""The licences of everything that is linked into the native library (or the command), as one text: a table of packages, then the texts.

notices.py PACKAGE TARGET [FEATURE...] prints it.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import project

# Contents of the library that are not crates from the lock file.
BESIDES = [
    ("Rust's standard library", "1.95", "MIT OR Apache-2.0", "https://github.com/rust-lang/rust"),
    ("LLVM's libunwind (Android only)", "of the NDK", "Apache-2.0 WITH LLVM-exception", "https://llvm.org"),
]
TEXTS = re.compile(r"(?i)^(licen[sc]e|copying|notice|unlicense)([-._].*)?$")


def packages(targets: list[str], features: list[str], package: str = "silhouette-ffi") -> list[dict]:
    """Packages that are linked into one of ours for these targets, without ours, as described by cargo metadata."""
    names = set()
    for target in targets:
        # Procedural macros run in the compiler; neither they nor what they use is linked.
        tree = ["tree", "--locked", "-p", package, "--target", target, "-e", "normal,no-proc-macro", "--prefix", "none", "-f", "{p}"]
        if features:
            tree += ["--features", ",".join(features)]
        names |= {tuple(line.split()[:2]) for line in _cargo(*tree).splitlines() if line}
    every = json.loads(_cargo("metadata", "--locked", "--format-version=1"))["packages"]
    found = [p for p in every if p["source"] and (p["name"], "v" + p["version"]) in names]
    return sorted(found, key=lambda p: (p["name"], p["version"]))


def _texts(entry: dict) -> list[Path]:
    """A package's licence files; if there is a choice, MIT's."""
    files = sorted(path for path in Path(entry["manifest_path"]).parent.iterdir() if path.is_file() and TEXTS.match(path.name))
    mit = [file for file in files if "MIT" in file.name.upper() or "NOTICE" in file.name.upper()]
    return mit if any("MIT" in file.name.upper() for file in mit) and re.search(r"\bMIT\b", entry["license"] or "") else files


@functools.cache
def _cargo(*words: str) -> str:
    answer = subprocess.run(["cargo", *words], cwd=project.ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"cargo {words[0]}: {answer.stderr.strip()}")
    return answer.stdout


def text(targets: list[str], features: list[str], package: str = "silhouette-ffi") -> str:
    """The whole notice."""
    linked = packages(targets, features, package)
    lines = [
        "Silhouette is licensed under MIT or Apache-2.0, at your option. It contains:",
        "",
        *(f"{name} | {version} | {licence} | {home}" for name, version, licence, home in BESIDES),
        *(f"{p['name']} | {p['version']} | {p['license']} | {p['repository'] or ''}" for p in linked),
        "",
    ]
    texts: dict[str, tuple[str, list[str]]] = {}
    for entry in linked:
        for file in _texts(entry):
            words = file.read_text(encoding="utf-8", errors="replace").strip().replace("\r\n", "\n")
            texts.setdefault(" ".join(words.split()), (words, []))[1].append(f"{entry['name']} {entry['version']}")
    for words, owners in sorted(texts.values(), key=lambda item: item[1]):
        lines += ["=" * 80, ", ".join(owners), "=" * 80, words, ""]
    return "\n".join(lines)


def listed(notice: str) -> list[tuple[str, str, str]]:
    """The table of a notice: (package, version, licence)."""
    rows = [line.split(" | ") for line in notice.split("=" * 80)[0].splitlines() if line.count(" | ") == 3]
    return [(row[0], row[1], row[2]) for row in rows]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    print(text([sys.argv[2]], sys.argv[3:], sys.argv[1]))
