"""check-aar PACKAGE.aar [--maven FOLDER] [--abis LIST] [--allow-linkcheck]: checks an AAR before release.

Version, manifest, classes, ABIs, page alignment, symbols, sizes, consumer rules, weights, licences; and in the Maven folder: POM, Gradle module
metadata, digests. Prints the sizes; exits with 1 and one line per violation if a check fails.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import struct
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import aar
import elf
import notices
import project
import sbom

NAMESPACE = "{http://schemas.android.com/apk/res/android}"
PAGE = 16384
NEWEST_CLASS = 55  # Java 11: so that apps targeting it can inline our functions
PUBLIC = ["Silhouette", "Model", "Segmenter", "VideoSegmenter", "LiveSegmenter", "Frame", "Segmentation", "Options", "SilhouetteException"]
SINGLE = {"AndroidManifest.xml", "classes.jar", "R.txt", "proguard.txt", "silhouette.json", "LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.txt", project.SBOM,
          "META-INF/com/android/build/gradle/aar-metadata.properties", *project.ASSETS}  # fmt: skip
# Folders of a builder's machine, as they would appear in panic messages.
BUILDER = re.compile(rb"/(?:home|root|Users|builds|private|tmp)/[\w.+-]+/[\w./+-]*")
# Names that the rules must keep: JNI and uniffi look these up.
KEPT = ["dev.silhouette.Native", "dev.silhouette.SilhouetteException", "dev.silhouette.LiveSegmenter", "dev.silhouette.ffi.", "com.sun.jna."]


class Report:
    """Violations, in the order in which they were found."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def hold(self, promise: bool, otherwise: str) -> bool:
        """Records a violation if the condition does not hold."""
        if not promise:
            self.broken.append(otherwise)
        return promise


def check(path: Path, abis: list[str], allow_linkcheck: bool, maven: Path | None) -> tuple[list[str], list[str]]:
    """Violations, and the table of sizes."""
    report = Report()
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            files = {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as problem:
        return [f"{path.name}: not a readable zip: {problem}"], []
    report.hold(len(names) == len(files), "a name occurs twice in the AAR")
    expected = SINGLE | {f"jni/{abi}/{project.LIBRARY}" for abi in abis}
    for name in sorted(expected - set(files)):
        report.hold(False, f"{name} is missing")
    for name in sorted(set(files) - expected):
        report.hold(False, f"{name} does not belong in the AAR")
    version = _version(path, files, allow_linkcheck, report)
    if "AndroidManifest.xml" in files:
        _manifest(files["AndroidManifest.xml"], report)
    asked = _classes(files["classes.jar"], report) if "classes.jar" in files else set()
    for abi in abis:
        name = f"jni/{abi}/{project.LIBRARY}"
        if name in files:
            _library(abi, files[name], asked, allow_linkcheck, report)
    _ledger(files, report)
    rules = files.get("proguard.txt", b"").decode(errors="replace")
    for kept in KEPT:
        report.hold(re.search(rf"^-keep.*{re.escape(kept)}", rules, re.MULTILINE) is not None, f"proguard.txt keeps nothing of {kept}")
    report.hold("-dontobfuscate" not in rules and "-dontshrink" not in rules, "proguard.txt switches the app's own shrinking off")
    for asset, name in project.ASSETS.items():
        _weights(name, files.get(asset), report)
    _licences(files, [abi for abi in abis if f"jni/{abi}/{project.LIBRARY}" in files], report)
    if maven:
        _maven(maven, version, data, report)
    return report.broken, _sizes(data, files)


def _version(path: Path, files: dict[str, bytes], allow_linkcheck: bool, report: Report) -> str:
    try:
        ledger = json.loads(files.get("silhouette.json", b"{}"))
        version, linker = str(ledger.get("version")), str(ledger.get("linker"))
    except (ValueError, AttributeError):
        report.hold(False, "silhouette.json is not JSON")
        version, linker = "", ""
    plain = version.removesuffix(project.LINKCHECK)
    report.hold(plain == project.version(), f"version {version}, but the project's is {project.version()}")
    report.hold(path.name == f"{project.NAME}-{version}.aar", f"{path.name} holds version {version}")
    is_linkcheck = version.endswith(project.LINKCHECK)
    report.hold(is_linkcheck == (linker == "linkcheck"), f"version {version}, but linked by {linker}")
    report.hold(allow_linkcheck or not is_linkcheck, f"{version}: linked against stub libraries, for checks only; build it with an NDK (ANDROID_NDK_HOME)")
    return version


def _manifest(data: bytes, report: Report) -> None:
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as problem:
        report.hold(False, f"AndroidManifest.xml: {problem}")
        return
    report.hold(root.get("package") == project.GROUP, f"AndroidManifest.xml: package {root.get('package')}, not {project.GROUP}")
    lowest = [sdk.get(f"{NAMESPACE}minSdkVersion") for sdk in root.iter("uses-sdk")]
    report.hold(lowest == [str(project.MIN_SDK)], f"AndroidManifest.xml: minSdkVersion {lowest}, not {project.MIN_SDK}")
    others = sorted({part.tag for part in root} - {"uses-sdk"})
    report.hold(not others, f"AndroidManifest.xml: {others} would come into every app")


def _classes(data: bytes, report: Report) -> set[str]:
    """Checks classes.jar; returns the names of the library's functions that it calls."""
    asked: set[str] = set()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as jar:
            classes = {name: jar.read(name) for name in jar.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as problem:
        report.hold(False, f"classes.jar: {problem}")
        return asked
    for name in PUBLIC:
        report.hold(f"dev/silhouette/{name}.class" in classes, f"classes.jar: dev.silhouette.{name} is missing")
    for name, content in classes.items():
        if not name.endswith(".class"):
            report.hold(name.startswith("META-INF/") and name.endswith(".kotlin_module"), f"classes.jar: {name} does not belong there")
            continue
        report.hold(name.startswith("dev/silhouette/"), f"classes.jar: {name} is not ours")
        report.hold("Test" not in name, f"classes.jar: {name} is a test")
        if not report.hold(content[:4] == b"\xca\xfe\xba\xbe" and len(content) > 8, f"classes.jar: {name} is not a class"):
            continue
        (major,) = struct.unpack_from(">H", content, 6)
        report.hold(major <= NEWEST_CLASS, f"classes.jar: {name} is of class version {major}, more than {NEWEST_CLASS} (Java 11)")
        asked |= {found.decode() for found in re.findall(rb"(?:uniffi|ffi)_silhouette_ffi_[a-z0-9_]+", content)}
        if name == "dev/silhouette/Native.class":
            asked |= {f"Java_dev_silhouette_Native_{_mangled(method)}" for method in native_methods(content)}
    report.hold(len(asked) > 10, "classes.jar: calls almost nothing of the library")
    return asked


def _mangled(name: str) -> str:
    return name.replace("_", "_1")


def native_methods(data: bytes) -> set[str]:
    """The names of a class's native methods."""
    (count,) = struct.unpack_from(">H", data, 8)
    at, index, words = 10, 1, {}
    widths = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}
    while index < count:
        tag = data[at]
        if tag == 1:
            (size,) = struct.unpack_from(">H", data, at + 1)
            words[index] = data[at + 3 : at + 3 + size].decode(errors="replace")
            at += 3 + size
        else:
            at += 1 + widths[tag]
        index += 2 if tag in (5, 6) else 1
    (interfaces,) = struct.unpack_from(">H", data, at + 6)
    at += 8 + 2 * interfaces
    found: set[str] = set()
    for is_method in (False, True):
        (members,) = struct.unpack_from(">H", data, at)
        at += 2
        for _ in range(members):
            access, name, _, attributes = struct.unpack_from(">HHHH", data, at)
            at += 8
            if is_method and access & 0x0100:
                found.add(words[name])
            for _ in range(attributes):
                (size,) = struct.unpack_from(">I", data, at + 2)
                at += 6 + size
    return found


def _library(abi: str, data: bytes, asked: set[str], allow_linkcheck: bool, report: Report) -> None:
    def hold(promise: bool, otherwise: str) -> bool:
        return report.hold(promise, f"{abi}: {otherwise}")

    try:
        library = elf.read(data)
    except elf.ElfError as problem:
        hold(False, str(problem))
        return
    hold(library.machine == project.ABIS[abi][0], f"the library is for {library.machine}")
    smallest = min(library.load_alignments, default=0)
    hold(smallest >= PAGE, f"a segment is aligned to {smallest} bytes, less than the {PAGE} that 16 KB pages need")
    hold(library.soname == project.LIBRARY, f"its name inside is '{library.soname}'")
    debug = sorted(name for name in library.sections if name in (".symtab", ".strtab") or name.startswith(".debug"))
    hold(not debug, f"not stripped: {', '.join(debug)}")
    hold(len(library.build_id) >= 16, "no build id: symbols could not be found for a crash")
    hold(not library.text_relocations, "text relocations: Android refuses to load it")
    hold(allow_linkcheck or library.android_note, "not linked by an NDK (no Android note)")
    system = project.system_libraries()
    foreign = sorted(set(library.needed) - {f"{name}.so" for name, _ in system.values()})
    hold(not foreign, f"needs {', '.join(foreign)}, which is not Android's")
    unknown = sorted(name for name in library.imports if name not in system or system[name][1] > project.MIN_SDK)
    hold(not unknown, f"asks for {', '.join(unknown)}: not in scripts/packaging/system-libraries.txt for API {project.MIN_SDK}")
    extra = sorted(name for name in library.exports if not project.EXPORTS.fullmatch(name))
    hold(not extra, f"exports {', '.join(extra[:8])}{' ...' if len(extra) > 8 else ''}, which nothing outside may use")
    missing = sorted(asked - library.exports)
    hold(not missing, f"does not export {', '.join(missing[:8])}, which the classes call")
    paths = sorted({found.decode(errors="replace") for found in BUILDER.findall(data)})
    hold(not paths, f"holds paths of the machine that built it: {', '.join(paths[:4])}")


def _ledger(files: dict[str, bytes], report: Report) -> None:
    try:
        parts = json.loads(files.get("silhouette.json", b""))["parts"]
        for name, data in files.items():
            if name == "silhouette.json":
                continue
            part = parts.get(name, {})
            same = part.get("bytes") == len(data) and part.get("sha256") == project.sha256(data)
            report.hold(same, f"{name} is not what silhouette.json says")
        for name in sorted(set(parts) - set(files)):
            report.hold(False, f"silhouette.json lists {name}, which is not there")
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        report.hold(False, f"silhouette.json: {problem!r}")
    sizes = {part: len(files.get(f"{part}/{project.LIBRARY}", b"")) for part in project.LIMITS}
    sizes |= {"classes": len(files.get("classes.jar", b"")), "weights": sum(len(files.get(asset, b"")) for asset in project.ASSETS)}
    for part, limit in project.LIMITS.items():
        report.hold(sizes[part] <= limit, f"{part}: {sizes[part]} bytes, more than the {limit} of scripts/packaging/project.py")


def _weights(name: str, data: bytes | None, report: Report) -> None:
    if data is None:
        return
    source = project.weights(name)
    report.hold(data == source.read_bytes(), f"{name}: the weights are not those of {source.relative_to(project.ROOT)}")
    try:
        spec = project.weights_spec(data)
        report.hold(bool(spec.get("licence")), f"{name}: the weights name no licence")
        report.hold(spec.get("name") == source.stem, f"{name}: the weights are those of '{spec.get('name')}'")
    except (ValueError, KeyError, TypeError, struct.error) as problem:
        report.hold(False, f"{name}: the weights cannot be read: {problem!r}")


def _licences(files: dict[str, bytes], abis: list[str], report: Report) -> None:
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        if name in files:
            report.hold(files[name] == (project.ROOT / name).read_bytes(), f"{name} is not the project's")
    # (Without any library there is nothing to compare with, and its absence is already reported.)
    if "THIRD-PARTY.txt" not in files or not abis:
        return
    told = {row[:2]: row[2] for row in notices.listed(files["THIRD-PARTY.txt"].decode(errors="replace"))}
    linked = {(p["name"], p["version"]): p["license"] for p in notices.packages([project.ABIS[abi][1] for abi in abis], [])}
    for (name, version), licence in linked.items():
        report.hold(told.get((name, version)) == licence, f"THIRD-PARTY.txt: {name} {version} ({licence}) is missing")
    for name, version in set(told) - set(linked) - {row[:2] for row in notices.BESIDES}:
        report.hold(False, f"THIRD-PARTY.txt: {name} {version} is not in the library")
    if project.SBOM in files:
        expected = sbom.document([project.ABIS[abi][1] for abi in abis], [], [entry[:3] for entry in aar.dependencies()])
        report.hold(files[project.SBOM] == expected, f"{project.SBOM} is not that of this library")


def _maven(folder: Path, version: str, aar: bytes, report: Report) -> None:
    place = folder / project.GROUP.replace(".", "/") / project.NAME
    base = place / version / f"{project.NAME}-{version}"
    expected = [base.with_name(base.name + end) for end in (".aar", ".pom", ".module", "-sources.jar")] + [place / "maven-metadata.xml"]
    for file in expected:
        if not report.hold(file.is_file(), f"{file.relative_to(folder)} is missing"):
            return
    for file in sorted(path for path in place.rglob("*") if path.is_file() and path.suffix not in (".md5", ".sha1", ".sha256", ".sha512")):
        for kind in ("md5", "sha1", "sha256", "sha512"):
            note = file.with_name(f"{file.name}.{kind}")
            same = note.is_file() and note.read_text(encoding="ascii", errors="replace").strip() == hashlib.new(kind, file.read_bytes()).hexdigest()
            report.hold(same, f"{note.relative_to(folder)} does not fit its file")
    report.hold(expected[0].read_bytes() == aar, "the AAR in the Maven folder is another one")
    space = "{http://maven.apache.org/POM/4.0.0}"
    pom = ElementTree.parse(expected[1]).getroot()
    told = tuple(pom.findtext(f"{space}{tag}") for tag in ("groupId", "artifactId", "version", "packaging"))
    report.hold(told == (project.GROUP, project.NAME, version, "aar"), f"the POM says {told}")
    report.hold(pom.find(f"{space}licenses/{space}license") is not None, "the POM names no licence")
    needs = {(d.findtext(f"{space}groupId"), d.findtext(f"{space}artifactId")): d for d in pom.iterfind(f"{space}dependencies/{space}dependency")}
    jna = needs.get(("net.java.dev.jna", "jna"))
    report.hold(jna is not None and jna.findtext(f"{space}type") == "aar", "the POM does not ask for JNA's AAR")
    report.hold(("org.jetbrains.kotlin", "kotlin-stdlib") in needs, "the POM does not ask for kotlin-stdlib")
    module = json.loads(expected[2].read_bytes())
    component = {key: module["component"].get(key) for key in ("group", "module", "version")}
    report.hold(component == {"group": project.GROUP, "module": project.NAME, "version": version}, f"the module metadata says {component}")
    for variant in module["variants"]:
        for file in variant["files"]:
            there = place / version / file["url"]
            same = there.is_file() and (len(there.read_bytes()), project.sha256(there.read_bytes())) == (file["size"], file["sha256"])
            report.hold(same, f"the module metadata's {file['url']} is another one")
        if "dependencies" in variant and variant["name"].startswith("releaseRuntime"):
            asked = {(need["group"], need["module"]) for need in variant["dependencies"]}
            report.hold(asked == set(needs), "POM and module metadata ask for different libraries")


def _sizes(data: bytes, files: dict[str, bytes]) -> list[str]:
    """Rows of (part, bytes, bytes compressed)."""

    def row(name: str, content: bytes) -> str:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.writestr("x", content)
            packed = archive.getinfo("x").compress_size
        return f"{name:45} {len(content):>10} {packed:>10}"

    rows = [f"{'part':45} {'bytes':>10} {'deflated':>10}", f"{'the AAR whole':45} {len(data):>10}"]
    rows += [row(name, files[name]) for name in sorted(files, key=lambda name: -len(files[name])) if len(files[name]) > 4096]
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/check-aar", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("aar", type=Path)
    parser.add_argument("--maven", type=Path, help="also the Maven repository folder that holds it")
    parser.add_argument("--abis", default=",".join(project.ABIS), help="the expected ABIs; fewer than all only for a link check")
    parser.add_argument("--allow-linkcheck", action="store_true", help="also accept libraries not linked by an NDK; never for publishing")
    chosen = parser.parse_args()
    abis = chosen.abis.split(",")
    if not set(abis) <= set(project.ABIS) or (set(abis) != set(project.ABIS) and not chosen.allow_linkcheck):
        parser.error(f"--abis: what ships is for {', '.join(project.ABIS)}")
    broken, sizes = check(chosen.aar, abis, chosen.allow_linkcheck, chosen.maven)
    print("\n".join(sizes))
    for line in broken:
        print(f"BROKEN {line}")
    if broken:
        raise SystemExit(1)
    print(f"{chosen.aar.name}: holds")


if __name__ == "__main__":
    main()
