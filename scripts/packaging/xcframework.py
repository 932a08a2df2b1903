"""Lays out the XCFramework: run by `scripts/build-ios` once the static libraries are built.

xcframework.py --libraries FOLDER --slices LIST --out Silhouette.xcframework: each slice with its library (FOLDER/TARGET/libsilhouette_ffi.a, joined where
a slice has several), headers, module map and privacy manifest.
"""

from __future__ import annotations

import argparse
import plistlib
import shutil
from pathlib import Path

import macho
import notices
import project
import sbom

HEADERS = project.ROOT / "ios/Sources/CSilhouette"
PRIVACY = project.ROOT / "ios/Sources/Silhouette/Resources/PrivacyInfo.xcprivacy"
MODULE = "CSilhouette"
# The system libraries that the static library needs; the module map links them into the app.
FRAMEWORKS = ["Foundation", "Metal"]
LIBRARIES = ["objc"]


def module_map(headers: list[str]) -> str:
    """The module that the Swift package imports."""
    lines = [f'  header "{header}"' for header in headers]
    lines += [f'  link framework "{framework}"' for framework in FRAMEWORKS] + [f'  link "{library}"' for library in LIBRARIES]
    return "\n".join([f"module {MODULE} {{", *lines, "  export *", "}", ""])


def info(slices: list[str]) -> dict:
    """The XCFramework's Info.plist. The version is our own addition: Xcode reads none."""
    libraries = []
    for name in slices:
        platform, variant, architectures, _ = project.SLICES[name]
        library = {
            "BinaryPath": project.ARCHIVE,
            "HeadersPath": "Headers",
            "LibraryIdentifier": name,
            "LibraryPath": project.ARCHIVE,
            "SupportedArchitectures": sorted(architectures),
            "SupportedPlatform": platform,
        }
        if variant:
            library["SupportedPlatformVariant"] = variant
        libraries.append(library)
    return {
        "AvailableLibraries": libraries,
        "CFBundlePackageType": "XFWK",
        "CFBundleShortVersionString": project.version(),
        "XCFrameworkFormatVersion": "1.0",
    }


def write(libraries: Path, slices: list[str], out: Path) -> None:
    """Rewrites the whole folder."""
    headers = sorted(path for path in HEADERS.glob("*.h"))
    if not headers:
        raise SystemExit(f"{HEADERS} has no headers: run scripts/generate-bindings")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with (out / "Info.plist").open("wb") as file:
        plistlib.dump(info(slices), file)
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        shutil.copyfile(project.ROOT / name, out / name)
    targets = sorted(triple for name in slices for triple in project.SLICES[name][2].values())
    (out / "THIRD-PARTY.txt").write_text(notices.text(targets, ["metal"]), encoding="utf-8")
    (out / project.SBOM).write_bytes(sbom.document(targets, ["metal"], []))
    for name in slices:
        # In a folder of its own: Xcode puts all packages' headers into one, where two module maps would collide.
        place = out / name / "Headers" / MODULE
        place.mkdir(parents=True)
        for header in headers:
            shutil.copyfile(header, place / header.name)
        (place / "module.modulemap").write_text(module_map([header.name for header in headers]), encoding="utf-8")
        parts = [(libraries / triple / project.ARCHIVE).read_bytes() for triple in project.SLICES[name][2].values()]
        (out / name / project.ARCHIVE).write_bytes(parts[0] if len(parts) == 1 else macho.join(parts))
        shutil.copyfile(PRIVACY, out / name / "PrivacyInfo.xcprivacy")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", type=Path, required=True)
    parser.add_argument("--slices", default=",".join(project.SLICES))
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    write(chosen.libraries, chosen.slices.split(","), chosen.out)
    print(f"{chosen.out}: {chosen.slices}")


if __name__ == "__main__":
    main()
