"""check-xcframework Silhouette.xcframework [--slices LIST] [--linked]: checks an XCFramework before release.

Info.plist, slices, platforms and oldest systems, symbols, headers, module map, privacy manifest, licences, version. Prints the sizes; exits with 1 and
one line per violation if a check fails. --linked also links each architecture with Rust's own linker, with dead code stripped and only the headers' functions
kept, and the system's names unresolved: approximately how much an app grows.
"""

from __future__ import annotations

import argparse
import plistlib
import re
import subprocess
import tempfile
from pathlib import Path
from xml.parsers.expat import ExpatError

import macho
import notices
import project
import sbom
import xcframework

# Symbols for which Apple requires a reason in the privacy manifest, and the category of each.
REASONED = {
    "NSPrivacyAccessedAPICategoryFileTimestamp": {"stat", "fstat", "lstat", "fstatat", "getattrlist", "getattrlistbulk", "fgetattrlist"},
    "NSPrivacyAccessedAPICategorySystemBootTime": {"mach_absolute_time"},
    "NSPrivacyAccessedAPICategoryDiskSpace": {"statfs", "statvfs", "fstatfs", "fstatvfs"},
}
# External names of the crate's object that a static library cannot hide: those that begin with an underscore (reserved for compilers: Rust's mangled
# names), and uniffi's descriptions of the interface, which carry its name.
RUNTIME = re.compile(r"_[\w.$]+|rust_eh_personality|UNIFFI_META_(?:NAMESPACE_)?SILHOUETTE_FFI\w*")
LARGEST = 8_000_000


def check(folder: Path, slices: list[str], link: bool = False) -> tuple[list[str], list[str]]:
    """Violations, and the table of sizes."""
    broken: list[str] = []
    rows: list[str] = []

    def hold(promise: bool, otherwise: str) -> bool:
        if not promise:
            broken.append(otherwise)
        return promise

    try:
        with (folder / "Info.plist").open("rb") as file:
            info = plistlib.load(file)
    except (OSError, plistlib.InvalidFileException, ExpatError, ValueError) as problem:
        return [f"Info.plist: {problem}"], rows
    expected = xcframework.info(slices)
    hold(info.get("CFBundleShortVersionString") == project.version(), f"version {info.get('CFBundleShortVersionString')}, but the project's is {project.version()}")
    told = {library.get("LibraryIdentifier"): library for library in info.get("AvailableLibraries", [])}
    for library in expected["AvailableLibraries"]:
        name = library["LibraryIdentifier"]
        if hold(name in told, f"Info.plist: slice {name} is missing"):
            hold(told[name] == library, f"Info.plist: {name} is described as {told[name]}")
    for name in sorted(set(told) - set(slices)):
        hold(False, f"Info.plist: {name} is not one of our slices")
    for key in ("CFBundlePackageType", "XCFrameworkFormatVersion"):
        hold(info.get(key) == expected[key], f"Info.plist: {key} is {info.get(key)}")
    expected = {"Info.plist", "LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.txt", project.SBOM, *slices}
    there = {path.name for path in folder.iterdir()}
    for name in sorted(expected - there):
        hold(False, f"{name} is missing")
    for name in sorted(there - expected):
        hold(False, f"{name} does not belong there")
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        if name in there:
            hold((folder / name).read_bytes() == (project.ROOT / name).read_bytes(), f"{name} is not the project's")
    if "THIRD-PARTY.txt" in there:
        targets = [triple for name in slices for triple in project.SLICES[name][2].values()]
        listed = {row[:2] for row in notices.listed((folder / "THIRD-PARTY.txt").read_text(encoding="utf-8"))}
        linked = {(package["name"], package["version"]) for package in notices.packages(targets, ["metal"])}
        different = sorted(f"{name} {version}" for name, version in linked ^ (listed - {row[:2] for row in notices.BESIDES}))
        hold(not different, f"THIRD-PARTY.txt and the library differ by {', '.join(different[:8])}")
    if project.SBOM in there:
        targets = [triple for name in slices for triple in project.SLICES[name][2].values()]
        hold((folder / project.SBOM).read_bytes() == sbom.document(targets, ["metal"], []), f"{project.SBOM} is not that of this library")
    for name in slices:
        if (folder / name).is_dir():
            rows += _slice(folder / name, name, hold, link)
    return broken, rows


def _slice(place: Path, name: str, hold, link: bool) -> list[str]:
    platform, variant, architectures, oldest = project.SLICES[name]
    expected = {project.ARCHIVE, "Headers", "PrivacyInfo.xcprivacy"}
    there = {path.name for path in place.iterdir()}
    hold(there == expected, f"{name} holds {', '.join(sorted(there))}, not {', '.join(sorted(expected))}")
    if not expected <= there:
        return []
    asked_names = _headers(place / "Headers" / xcframework.MODULE, name, hold)
    rows = []
    try:
        parts = macho.read((place / project.ARCHIVE).read_bytes())
    except macho.MachOError as problem:
        hold(False, f"{name}: {problem}")
        return []
    hold(sorted(part.architecture for part in parts) == sorted(architectures), f"{name}: architectures {[part.architecture for part in parts]}")
    reasons = _privacy(place / "PrivacyInfo.xcprivacy", name, hold)
    built_for = f"{platform}-{variant}" if variant else platform
    for part in parts:
        who = f"{name} {part.architecture}"
        hold(part.platforms == {built_for}, f"{who}: built for {', '.join(sorted(part.platforms)) or 'nothing'}, not {built_for}")
        newer = [version for version in part.oldest if _numbers(version) > _numbers(oldest)]
        hold(not newer, f"{who}: needs {', '.join(newer)}, newer than {oldest}")
        missing = sorted(asked_names - part.defined)
        hold(not missing, f"{who}: the headers' {', '.join(missing[:6])} are not in the library")
        extra = sorted(symbol for symbol in part.defined - part.runtime if not project.EXPORTS.fullmatch(symbol) and not RUNTIME.fullmatch(symbol))
        hold(not extra, f"{who}: defines {', '.join(extra[:8])}, which could collide with an app's")
        for category, symbols in REASONED.items():
            used = {symbol.split("$")[0] for symbol in part.asked} & symbols
            hold(not used or category in reasons, f"{who}: uses {', '.join(sorted(used))}, but the privacy manifest gives no reason ({category})")
        hold(part.size <= LARGEST, f"{who}: {part.size} bytes, more than {LARGEST}")
        row = f"{who:45} {part.size:>10} bytes, {part.objects} objects"
        rows.append(f"{row}; linked {linked(part, asked_names, oldest)}" if link else row)
    return rows


def _headers(place: Path, name: str, hold) -> set[str]:
    """Checks headers and module map; returns the functions that the headers declare."""
    headers = {path.name: path for path in xcframework.HEADERS.glob("*.h")}
    if not hold((place / "module.modulemap").is_file(), f"{name}: no module map"):
        return set()
    there = {path.name for path in place.iterdir()} - {"module.modulemap"}
    hold(there == set(headers), f"{name}: headers {sorted(there)}, not {sorted(headers)}")
    expected = xcframework.module_map(sorted(headers))
    hold((place / "module.modulemap").read_text(encoding="utf-8") == expected, f"{name}: the module map is not the project's")
    asked = set()
    for header in there & set(headers):
        text = (place / header).read_text(encoding="utf-8")
        hold(text == headers[header].read_text(encoding="utf-8"), f"{name}: {header} is not the project's")
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
        asked |= set(re.findall(r"\b((?:uniffi|ffi)_silhouette_ffi_\w+|silhouette_\w+)\s*\(", text))
    hold(len(asked) > 10, f"{name}: the headers declare almost nothing")
    return asked


def _privacy(path: Path, name: str, hold) -> set[str]:
    """Checks the privacy manifest; returns the categories for which it gives reasons."""
    try:
        with path.open("rb") as file:
            manifest = plistlib.load(file)
    except (plistlib.InvalidFileException, ExpatError, ValueError) as problem:
        hold(False, f"{name}: PrivacyInfo.xcprivacy: {problem}")
        return set()
    hold(manifest.get("NSPrivacyTracking") is False, f"{name}: the privacy manifest does not deny tracking")
    hold(manifest.get("NSPrivacyTrackingDomains") == [], f"{name}: the privacy manifest names tracking domains")
    hold(manifest.get("NSPrivacyCollectedDataTypes") == [], f"{name}: the privacy manifest collects data")
    types = manifest.get("NSPrivacyAccessedAPITypes", [])
    return {entry["NSPrivacyAccessedAPIType"] for entry in types if entry.get("NSPrivacyAccessedAPITypeReasons")}


def linked(part: macho.Slice, names: set[str], oldest: str) -> int:
    """Size of a dynamic library made from the archive with these names exported and everything else stripped."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    linker = next(Path(sysroot).glob("lib/rustlib/*/bin/rust-lld"))
    platform = {"macos": "macos", "ios": "ios", "ios-simulator": "ios-simulator"}[next(iter(part.platforms))]
    with tempfile.TemporaryDirectory() as folder:
        result, thin = Path(folder) / "linked.dylib", Path(folder) / "thin.a"
        thin.write_bytes(part.data)
        kept = [word for name in sorted(names) for word in ("-u", f"_{name}", "-exported_symbol", f"_{name}")]
        command = [linker, "-flavor", "darwin", "-dylib", "-arch", part.architecture, "-platform_version", platform, oldest, oldest, "-dead_strip", "-S", "-x"]
        command += ["-undefined", "dynamic_lookup", "-install_name", "@rpath/linked", *kept, thin, "-o", result]
        subprocess.run(command, check=True)
        return result.stat().st_size


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/check-xcframework", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("xcframework", type=Path)
    parser.add_argument("--slices", default=",".join(project.SLICES), help="fewer than all only for a quick check")
    parser.add_argument("--linked", action="store_true", help="also the size after dead stripping")
    chosen = parser.parse_args()
    slices = chosen.slices.split(",")
    if not set(slices) <= set(project.SLICES):
        parser.error(f"--slices: there are {', '.join(project.SLICES)}")
    broken, rows = check(chosen.xcframework, slices, chosen.linked)
    print("\n".join(rows))
    for line in broken:
        print(f"BROKEN {line}")
    if broken:
        raise SystemExit(1)
    print(f"{chosen.xcframework.name}: holds" + ("" if set(slices) == set(project.SLICES) else f" (only {', '.join(slices)})"))


if __name__ == "__main__":
    main()
