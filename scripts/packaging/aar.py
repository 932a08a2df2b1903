"""Creates the AAR and a Maven repository folder with it: run by `scripts/package-aar` once libraries and classes are built.

aar.py --natives FOLDER --classes FOLDER --out FOLDER: FOLDER/silhouette-VERSION.aar and FOLDER/maven/. Same inputs, same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import elf
import notices
import project
import sbom

ANDROID = project.ROOT / "android"
# Prefix of everything in classes.jar, and so in every app: only our own classes.
SHIPPED = re.compile(r"dev/silhouette/|META-INF/[^/]+\.kotlin_module$")
HOME = "https://github.com/silhouette-sdk/silhouette"


def zipped(files: dict[str, bytes], stored: tuple[str, ...] = ()) -> bytes:
    """A zip of these files, in order, without time stamps. Files whose names end in one of `stored` are not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            kind = zipfile.ZIP_STORED if name.endswith(stored) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], kind, None if kind == zipfile.ZIP_STORED else 9)
    return buffer.getvalue()


def folder(path: Path, accepted: re.Pattern[str] = re.compile("")) -> dict[str, bytes]:
    """The files in a folder with the selected names."""
    names = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    return {name: file.read_bytes() for name, file in names.items() if accepted.match(name)}


def manifest() -> bytes:
    """The source manifest with the namespace and minSdk that Gradle keeps outside it."""
    text = (ANDROID / "src/main/AndroidManifest.xml").read_text(encoding="utf-8")
    start = text.index("<manifest") + len("<manifest")
    head, rest = text[:start], text[start:]
    if "package=" not in rest.split(">")[0]:
        head += f' package="{project.GROUP}"'
    opening = rest.index(">")
    sdk = f'\n    <uses-sdk android:minSdkVersion="{project.MIN_SDK}" />\n'
    if rest[opening - 1] == "/":
        rest = rest[: opening - 1].rstrip() + ">" + sdk + "</manifest>" + rest[opening + 1 :]
    else:
        rest = rest[: opening + 1] + sdk + rest[opening + 1 :]
    ElementTree.fromstring(head + rest)
    return (head + rest).encode()


def ledger(version: str, linker: str, files: dict[str, bytes]) -> bytes:
    """The contents, with sizes and digests, for check-aar and for size comparisons."""
    parts = {}
    for name, data in files.items():
        part = {"bytes": len(data), "sha256": project.sha256(data)}
        if name.startswith("jni/"):
            part["build_id"] = elf.read(data).build_id
        parts[name] = part
    return (json.dumps({"version": version, "linker": linker, "parts": parts}, indent=1, sort_keys=True) + "\n").encode()


def contents(version: str, natives: Path, classes: Path) -> dict[str, bytes]:
    """The AAR's files."""
    linker = (natives / "linker").read_text(encoding="utf-8").strip()
    abis = [abi for abi in project.ABIS if (natives / "jni" / abi / project.LIBRARY).is_file()]
    if not abis:
        raise SystemExit(f"{natives}/jni holds no library: run scripts/build-android")
    jar = folder(classes, SHIPPED)
    if not jar:
        raise SystemExit(f"{classes} holds no classes: run mvn -f android/pom.xml package")
    files = {f"jni/{abi}/{project.LIBRARY}": (natives / "jni" / abi / project.LIBRARY).read_bytes() for abi in abis}
    files |= {
        "AndroidManifest.xml": manifest(),
        "classes.jar": zipped(jar),
        "R.txt": b"",
        "proguard.txt": (ANDROID / "consumer-rules.pro").read_bytes(),
        "META-INF/com/android/build/gradle/aar-metadata.properties": (
            f"aarFormatVersion=1.0\naarMetadataVersion=1.0\nminCompileSdk={project.MIN_SDK}\nminCompileSdkExtension=0\n"
            "minAndroidGradlePluginVersion=1.0.0\ncoreLibraryDesugaringEnabled=false\n"
        ).encode(),
        **{asset: project.weights(name).read_bytes() for asset, name in project.ASSETS.items()},
        "LICENSE-MIT": (project.ROOT / "LICENSE-MIT").read_bytes(),
        "LICENSE-APACHE": (project.ROOT / "LICENSE-APACHE").read_bytes(),
        "THIRD-PARTY.txt": notices.text([project.ABIS[abi][1] for abi in abis], []).encode(),
        project.SBOM: sbom.document([project.ABIS[abi][1] for abi in abis], [], [entry[:3] for entry in dependencies()]),
    }
    files["silhouette.json"] = ledger(version, linker, files)
    return files


def dependencies() -> list[tuple[str, str, str, str]]:
    """The library's dependencies: (group, name, version, Maven scope), from android/pom.xml; without test and provided ones."""
    space = "{http://maven.apache.org/POM/4.0.0}"
    pom = ElementTree.parse(ANDROID / "pom.xml").getroot()
    values = {part.tag.removeprefix(space): part.text or "" for part in pom.find(f"{space}properties") or []}
    found = []
    for entry in pom.iterfind(f"{space}dependencies/{space}dependency"):
        field = {part.tag.removeprefix(space): re.sub(r"\$\{([^}]+)\}", lambda m: values.get(m[1], m[0]), part.text or "") for part in entry}
        scope = field.get("scope", "compile")
        if scope in ("compile", "runtime"):
            # Maven resolves the JVM variant of a multiplatform library; Gradle chooses the variant itself.
            found.append((field["groupId"], field["artifactId"].removesuffix("-jvm"), field["version"], scope))
    return found


def is_aar(name: str) -> bool:
    """JNA's jar contains desktop libraries; Android uses its AAR."""
    return name == "jna"


def pom(version: str) -> bytes:
    """The POM that Maven and older Gradle read."""
    entries = "".join(
        f"    <dependency>\n      <groupId>{group}</groupId>\n      <artifactId>{name}</artifactId>\n      <version>{number}</version>\n"
        + ("      <type>aar</type>\n" if is_aar(name) else "")
        + f"      <scope>{scope}</scope>\n    </dependency>\n"
        for group, name, number, scope in dependencies()
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://maven.apache.org/POM/4.0.0 https://maven.apache.org/xsd/maven-4.0.0.xsd">
  <!-- do_not_remove: published-with-gradle-metadata -->
  <modelVersion>4.0.0</modelVersion>
  <groupId>{project.GROUP}</groupId>
  <artifactId>{project.NAME}</artifactId>
  <version>{version}</version>
  <packaging>aar</packaging>
  <name>Silhouette</name>
  <description>Segmentation of camera frames and photos on the device</description>
  <url>{HOME}</url>
  <licenses>
    <license>
      <name>MIT</name>
      <url>{HOME}/blob/main/LICENSE-MIT</url>
    </license>
    <license>
      <name>Apache-2.0</name>
      <url>{HOME}/blob/main/LICENSE-APACHE</url>
    </license>
  </licenses>
  <developers>
    <developer>
      <name>The Silhouette authors</name>
      <url>{HOME}</url>
    </developer>
  </developers>
  <scm>
    <connection>scm:git:{HOME}.git</connection>
    <url>{HOME}</url>
  </scm>
  <dependencies>
{entries}  </dependencies>
</project>
""".encode()


def module(version: str, files: dict[str, bytes]) -> bytes:
    """Gradle module metadata: the same, with variants for compiling, running, sources and documentation."""

    def dependency(group: str, name: str, number: str) -> dict:
        entry: dict = {"group": group, "module": name, "version": {"requires": number}}
        if is_aar(name):
            entry["thirdPartyCompatibility"] = {"artifactSelector": {"name": name, "type": "aar", "extension": "aar"}}
        return entry

    def described(name: str) -> dict:
        data = files[name]
        digests = {kind: hashlib.new(kind, data).hexdigest() for kind in ("sha512", "sha256", "sha1", "md5")}
        return {"name": name, "url": name, "size": len(data), **digests}

    def documentation(kind: str) -> dict:
        attributes = {
            "org.gradle.category": "documentation",
            "org.gradle.dependency.bundling": "external",
            "org.gradle.docstype": kind,
            "org.gradle.usage": "java-runtime",
        }
        name = f"release{kind.capitalize()}Publication"
        return {"name": name, "attributes": attributes, "files": [described(f"{project.NAME}-{version}-{kind}.jar")]}

    def code(name: str, usage: str, scopes: tuple[str, ...]) -> dict:
        attributes = {
            "org.gradle.category": "library",
            "org.gradle.dependency.bundling": "external",
            "org.gradle.libraryelements": "aar",
            "org.gradle.usage": usage,
            "org.jetbrains.kotlin.platform.type": "androidJvm",
        }
        needs = [dependency(*entry[:3]) for entry in dependencies() if entry[3] in scopes]
        return {"name": name, "attributes": attributes, "dependencies": needs, "files": [described(f"{project.NAME}-{version}.aar")]}

    variants = [
        code("releaseApiPublication", "java-api", ("compile",)),
        code("releaseRuntimePublication", "java-runtime", ("compile", "runtime")),
        documentation("sources"),
    ]
    if f"{project.NAME}-{version}-javadoc.jar" in files:
        variants.append(documentation("javadoc"))
    component = {"group": project.GROUP, "module": project.NAME, "version": version, "attributes": {"org.gradle.status": "release"}}
    return (json.dumps({"formatVersion": "1.1", "component": component, "createdBy": {}, "variants": variants}, indent=2) + "\n").encode()


def write(out: Path, version: str, aar: bytes, javadoc: Path | None) -> None:
    """The AAR, and the Maven repository folder."""
    base = f"{project.NAME}-{version}"
    files = {f"{base}.aar": aar, f"{base}.pom": pom(version), f"{base}-sources.jar": zipped(folder(ANDROID / "src/main/kotlin"))}
    if javadoc:
        files[f"{base}-javadoc.jar"] = zipped(folder(javadoc))
    files[f"{base}.module"] = module(version, files)
    repository = out / "maven"
    shutil.rmtree(repository, ignore_errors=True)
    for old in out.glob(f"{project.NAME}-*.aar"):
        old.unlink()
    place = repository / project.GROUP.replace(".", "/") / project.NAME
    (place / version).mkdir(parents=True)
    metadata = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<metadata>\n  <groupId>{project.GROUP}</groupId>\n  <artifactId>{project.NAME}</artifactId>\n'
        f"  <versioning>\n    <latest>{version}</latest>\n    <release>{version}</release>\n    <versions>\n      <version>{version}</version>\n"
        "    </versions>\n  </versioning>\n</metadata>\n"
    ).encode()
    paths = {place / version / name: data for name, data in files.items()} | {place / "maven-metadata.xml": metadata}
    for path, data in paths.items():
        path.write_bytes(data)
        for kind in ("md5", "sha1", "sha256", "sha512"):
            path.with_name(f"{path.name}.{kind}").write_text(hashlib.new(kind, data).hexdigest(), encoding="ascii")
    (out / f"{base}.aar").write_bytes(aar)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--natives", type=Path, required=True)
    parser.add_argument("--classes", type=Path, required=True)
    parser.add_argument("--javadoc", type=Path, help="documentation as HTML, for the javadoc jar")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    version = project.version()
    if (chosen.natives / "linker").read_text(encoding="utf-8").strip() == "linkcheck":
        version += project.LINKCHECK
    files = contents(version, chosen.natives, chosen.classes)
    aar = zipped(files, stored=(".safetensors",))
    chosen.out.mkdir(parents=True, exist_ok=True)
    write(chosen.out, version, aar, chosen.javadoc)
    print(f"{chosen.out}/{project.NAME}-{version}.aar: {len(aar)} bytes; {chosen.out}/maven")


if __name__ == "__main__":
    main()
