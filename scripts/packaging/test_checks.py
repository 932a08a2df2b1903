"""test_checks.py [--aar FILE --maven FOLDER --abis LIST] [--xcframework FOLDER --slices LIST]: the package checks accept these, and reject each of
them once something in it has been broken deliberately.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import io
import json
import plistlib
import re
import shutil
import struct
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

import aar
import check_aar
import check_xcframework
import elf
import macho
import models
import project

chosen = argparse.Namespace(aar=None, maven=None, abis="", xcframework=None, slices="")


def program_headers(data: bytes) -> list[tuple[int, int]]:
    """(type, offset of the alignment's field) of each segment."""
    wide = data[4] == 2
    start, size, count = struct.unpack_from("<Q", data, 32)[0] if wide else struct.unpack_from("<I", data, 28)[0], *struct.unpack_from("<HH", data, 54 if wide else 42)
    return [(struct.unpack_from("<I", data, start + n * size)[0], start + n * size + (48 if wide else 28)) for n in range(count)]


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replaces a string by another of the same length; it must occur."""
    assert len(old) == len(new) and old in data, old
    return data.replace(old, new)


class AndroidPackage(unittest.TestCase):
    """check-aar."""

    def setUp(self) -> None:
        if not chosen.aar:
            self.skipTest("no AAR given")
        with zipfile.ZipFile(chosen.aar) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}
        self.abis = chosen.abis.split(",")
        self.library = f"jni/{self.abis[0]}/{project.LIBRARY}"
        self.version = json.loads(self.files["silhouette.json"])["version"]
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def broken(self, allow_linkcheck: bool = True, raw: bytes | None = None, name: str = "", honest: bool = True) -> list[str]:
        """The check's result for the current files; `honest`: the ledger matches them."""
        ledger = json.loads(self.files["silhouette.json"])
        if honest:
            rest = {part: data for part, data in self.files.items() if part != "silhouette.json"}
            ledger["parts"] = {part: {"bytes": len(data), "sha256": project.sha256(data)} for part, data in rest.items()}
            self.files["silhouette.json"] = json.dumps(ledger).encode()
        path = self.folder / (name or f"{project.NAME}-{ledger['version']}.aar")
        path.write_bytes(raw if raw is not None else aar.zipped(self.files))
        return check_aar.check(path, self.abis, allow_linkcheck, None)[0]

    def refused(self, because: str, **how) -> None:
        """The check reports this reason, and no unrelated one."""
        found = self.broken(**how)
        self.assertTrue(any(because in line for line in found), f"'{because}' is not among {found}")
        self.assertLessEqual(len(found), 3, found)

    def test_as_it_is(self) -> None:
        self.assertEqual(self.broken(), [])

    def test_without_ndk_only_when_allowed(self) -> None:
        if "linkcheck" in self.version:
            found = self.broken(allow_linkcheck=False)
            self.assertTrue(any("stub libraries" in line for line in found) and any("Android note" in line for line in found), found)
            ledger = json.loads(self.files["silhouette.json"])
            ledger["version"], ledger["linker"] = project.version(), "ndk 28.2.13676358"
            self.files["silhouette.json"] = json.dumps(ledger).encode()
            self.refused("not linked by an NDK", allow_linkcheck=False)

    def test_alignment(self) -> None:
        data = bytearray(self.files[self.library])
        for kind, at in program_headers(data):
            if kind == elf.PT_LOAD:
                struct.pack_into("<Q" if data[4] == 2 else "<I", data, at, 4096)
        self.files[self.library] = bytes(data)
        self.refused("aligned to 4096 bytes")

    def test_missing_abi(self) -> None:
        del self.files[self.library]
        self.refused(f"{self.library} is missing")

    def test_other_machine(self) -> None:
        data = bytearray(self.files[self.library])
        struct.pack_into("<H", data, 18, 62 if struct.unpack_from("<H", data, 18)[0] != 62 else 183)
        self.files[self.library] = bytes(data)
        self.refused("the library is for")

    def test_extra_symbol(self) -> None:
        self.files[self.library] = replaced(self.files[self.library], b"\0JNI_OnLoad\0", b"\0JNX_OnLoad\0")
        self.refused("exports JNX_OnLoad")

    def test_missing_symbol(self) -> None:
        name = next(iter(sorted(name for name in elf.read(self.files[self.library]).exports if name.startswith("uniffi_silhouette_ffi_fn_constructor"))))
        self.files[self.library] = replaced(self.files[self.library], f"\0{name}\0".encode(), f"\0{name[:-1]}_\0".encode())
        self.refused(f"does not export {name}")

    def test_symbol_that_android_lacks(self) -> None:
        self.files[self.library] = replaced(self.files[self.library], b"\0malloc\0", b"\0mallok\0")
        self.refused("asks for mallok")

    def test_foreign_library(self) -> None:
        self.files[self.library] = replaced(self.files[self.library], b"\0libc.so\0", b"\0libq.so\0")
        self.refused("needs libq.so")

    def test_not_stripped(self) -> None:
        self.files[self.library] = replaced(self.files[self.library], b"\0.gnu.hash\0", b"\0.symtab\0\0\0")
        self.refused("not stripped")

    def test_no_build_id(self) -> None:
        self.files[self.library] = replaced(self.files[self.library], b"\3\0\0\0GNU\0", b"\7\0\0\0GNU\0")
        self.refused("no build id")

    def test_path_of_the_builder(self) -> None:
        start = re.search(rb"/rustc/[0-9a-f]{40}", self.files[self.library])
        self.assertIsNotNone(start)
        self.files[self.library] = self.files[self.library].replace(start[0], (b"/home/someone/" + start[0])[: len(start[0])])
        self.refused("holds paths of the machine")

    def test_library_cut_off(self) -> None:
        for share in (3, 2):
            self.files[self.library] = self.files[self.library][: len(self.files[self.library]) // share]
            self.refused("cut off or damaged")

    def test_other_version(self) -> None:
        ledger = json.loads(self.files["silhouette.json"])
        ledger["version"] = self.version.replace(project.version(), "9.8.7")
        self.files["silhouette.json"] = json.dumps(ledger).encode()
        self.refused("version 9.8.7")

    def test_other_name(self) -> None:
        self.refused("other-1.0.aar holds version", name="other-1.0.aar")

    def test_ledger(self) -> None:
        self.files["R.txt"] += b"int id x 0\n"
        self.refused("R.txt is not what silhouette.json says", honest=False)

    def test_manifest(self) -> None:
        manifest = self.files["AndroidManifest.xml"].decode()
        self.files["AndroidManifest.xml"] = manifest.replace('minSdkVersion="24"', 'minSdkVersion="21"').encode()
        self.refused("minSdkVersion")
        self.files["AndroidManifest.xml"] = manifest.replace("</manifest>", '<uses-permission android:name="android.permission.INTERNET"/></manifest>').encode()
        self.refused("would come into every app")

    def test_classes(self) -> None:
        with zipfile.ZipFile(io.BytesIO(self.files["classes.jar"])) as jar:
            classes = {name: jar.read(name) for name in jar.namelist()}
        name = "dev/silhouette/Segmenter.class"
        for change, because in (
            ({name: None}, "dev.silhouette.Segmenter is missing"),
            ({name: classes[name][:6] + b"\0\x45" + classes[name][8:]}, "class version 69"),
            ({"dev/silhouette/SegmenterTest.class": classes[name]}, "is a test"),
            ({"kotlin/Unit.class": classes[name]}, "is not ours"),
        ):
            with self.subTest(because):
                self.files["classes.jar"] = aar.zipped({key: data for key, data in (classes | change).items() if data is not None})
                self.refused(because)

    def test_consumer_rules(self) -> None:
        rules = self.files["proguard.txt"]
        self.files["proguard.txt"] = rules.replace(b"dev.silhouette.ffi", b"dev.silhouette.fff")
        self.refused("keeps nothing of dev.silhouette.ffi")
        self.files["proguard.txt"] = rules + b"\n-dontobfuscate\n"
        self.refused("switches the app's own shrinking off")

    def test_weights(self) -> None:
        for asset, name in project.ASSETS.items():
            with self.subTest(name):
                whole = self.files[asset]
                self.files[asset] = whole[:-1] + bytes([whole[-1] ^ 1])
                self.refused(f"{name}: the weights are not those of")
                del self.files[asset]
                self.refused(f"{asset} is missing")
                self.files[asset] = whole

    def test_weights_of_the_other_model(self) -> None:
        one, other = project.ASSETS
        self.files[one] = self.files[other]
        self.refused(f"{project.ASSETS[one]}: the weights are those of 'silhouette-voc21'")

    def test_a_third_model(self) -> None:
        self.files["assets/silhouette/third.safetensors"] = self.files[next(iter(project.ASSETS))]
        self.refused("assets/silhouette/third.safetensors does not belong")

    def test_licences(self) -> None:
        text = self.files["THIRD-PARTY.txt"].decode()
        self.files["THIRD-PARTY.txt"] = re.sub(r"(?m)^safetensors \|.*\n", "", text).encode()
        self.refused("safetensors")
        self.files["THIRD-PARTY.txt"] = text.replace("safetensors |", "gpl-core | 1.0 | GPL-3.0 | x\nsafetensors |", 1).encode()
        self.refused("gpl-core 1.0 is not in the library")

    def test_bill_of_materials(self) -> None:
        self.files[project.SBOM] = self.files[project.SBOM].replace(b'"name": "safetensors"', b'"name": "safetensor"')
        self.refused("sbom.cdx.json is not that of this library")

    def test_extra_file(self) -> None:
        self.files["assets/other.bin"] = b"?"
        self.refused("assets/other.bin does not belong")

    def test_too_large(self) -> None:
        self.files[self.library] += b"\0" * 3_000_000
        self.refused("more than the")

    def test_no_zip(self) -> None:
        whole = aar.zipped(self.files)
        self.refused("not a readable zip", raw=whole[: len(whole) // 2])

    def test_maven_folder(self) -> None:
        if not chosen.maven:
            self.skipTest("no Maven folder given")
        place = f"dev/silhouette/silhouette/{self.version}/silhouette-{self.version}"
        self.assertEqual(check_aar.check(chosen.aar, self.abis, True, chosen.maven)[0], [])
        for name, change, because in (
            (f"{place}.pom", lambda data: data.replace(b"<packaging>aar", b"<packaging>jar"), "the POM says"),
            (f"{place}.pom", lambda data: data.replace(b"<type>aar</type>", b""), "JNA's AAR"),
            (f"{place}.module", lambda data: data.replace(b'"version": "' + self.version.encode(), b'"version": "9.8.7'), "the module metadata says"),
            (f"{place}.aar", lambda data: data + b"\0", "is another one"),
            (f"{place}.aar.sha256", lambda data: data[::-1], "does not fit its file"),
            (f"{place}-sources.jar", None, "is missing"),
        ):
            with self.subTest(because):
                folder = self.folder / "maven"
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(chosen.maven, folder)
                if change:
                    (folder / name).write_bytes(change((folder / name).read_bytes()))
                else:
                    (folder / name).unlink()
                found = check_aar.check(chosen.aar, self.abis, True, folder)[0]
                self.assertTrue(any(because in line for line in found), found)


class ApplePackage(unittest.TestCase):
    """check-xcframework."""

    def setUp(self) -> None:
        if not chosen.xcframework:
            self.skipTest("no XCFramework given")
        self.slices = chosen.slices.split(",")
        self.folder = Path(tempfile.mkdtemp()) / "Silhouette.xcframework"
        self.addCleanup(shutil.rmtree, self.folder.parent)
        shutil.copytree(chosen.xcframework, self.folder)
        self.slice = self.folder / self.slices[0]

    def refused(self, because: str) -> None:
        """The check reports this reason."""
        found = check_xcframework.check(self.folder, self.slices)[0]
        self.assertTrue(any(because in line for line in found), f"'{because}' is not among {found}")

    def change(self, path: Path, old: bytes, new: bytes) -> None:
        """Replaces bytes of a file; they must occur."""
        data = path.read_bytes()
        self.assertIn(old, data)
        path.write_bytes(data.replace(old, new))

    def test_as_it_is(self) -> None:
        self.assertEqual(check_xcframework.check(self.folder, self.slices)[0], [])

    def test_other_version(self) -> None:
        self.change(self.folder / "Info.plist", f"<string>{project.version()}</string>".encode(), b"<string>9.8.7</string>")
        self.refused("version 9.8.7")

    def test_missing_slice(self) -> None:
        shutil.rmtree(self.slice)
        self.refused(f"{self.slices[0]} is missing")

    def test_slice_not_described(self) -> None:
        with (self.folder / "Info.plist").open("rb") as file:
            info = plistlib.load(file)
        info["AvailableLibraries"] = info["AvailableLibraries"][1:]
        (self.folder / "Info.plist").write_bytes(plistlib.dumps(info))
        self.refused(f"Info.plist: slice {self.slices[0]} is missing")

    def test_other_platform(self) -> None:
        data = bytearray((self.slice / project.ARCHIVE).read_bytes())
        at = data.index(struct.pack("<II", macho.LC_BUILD_VERSION, 24))
        struct.pack_into("<I", data, at + 8, 11)
        (self.slice / project.ARCHIVE).write_bytes(data)
        self.refused("built for")

    def test_needs_a_newer_system(self) -> None:
        data = bytearray((self.slice / project.ARCHIVE).read_bytes())
        at = data.index(struct.pack("<II", macho.LC_BUILD_VERSION, 24))
        struct.pack_into("<I", data, at + 12, 26 << 16)
        (self.slice / project.ARCHIVE).write_bytes(data)
        self.refused("needs 26.0, newer than")

    def test_extra_symbol(self) -> None:
        self.change(self.slice / project.ARCHIVE, b"\0_silhouette_segment\0", b"\0_jpeg_read_the_head\0")
        self.refused("jpeg_read_the_head")
        self.refused("silhouette_segment are not in the library")

    def test_cut_off(self) -> None:
        data = (self.slice / project.ARCHIVE).read_bytes()
        (self.slice / project.ARCHIVE).write_bytes(data[: len(data) // 2])
        self.refused("cut off")

    def test_privacy_manifest(self) -> None:
        self.change(self.slice / "PrivacyInfo.xcprivacy", b"CategoryFileTimestamp", b"CategoryDiskSpace")
        self.refused("gives no reason (NSPrivacyAccessedAPICategoryFileTimestamp)")

    def test_tracking(self) -> None:
        self.change(self.slice / "PrivacyInfo.xcprivacy", b"<false/>", b"<true/>")
        self.refused("does not deny tracking")

    def test_headers(self) -> None:
        place = self.slice / "Headers/CSilhouette"
        self.change(place / "silhouette_frame.h", b"silhouette_segment(", b"silhouette_segmend(")
        self.refused("silhouette_frame.h is not the project's")
        (place / "module.modulemap").unlink()
        self.refused("no module map")

    def test_licence_file(self) -> None:
        self.change(self.folder / "THIRD-PARTY.txt", b"candle-core | ", b"candle-kore | ")
        self.refused("THIRD-PARTY.txt and the library differ")

    def test_bill_of_materials(self) -> None:
        self.change(self.folder / project.SBOM, b"pkg:cargo/candle-core@", b"pkg:cargo/candle-kore@")
        self.refused("sbom.cdx.json is not that of this library")


class Versions(unittest.TestCase):
    """scripts/version --check."""

    def setUp(self) -> None:
        loader = importlib.machinery.SourceFileLoader("version", str(project.ROOT / "scripts/version"))
        self.version = importlib.util.module_from_spec(importlib.util.spec_from_loader("version", loader))
        loader.exec_module(self.version)
        real, copy = project.ROOT, Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, copy)
        self.addCleanup(setattr, project, "ROOT", real)
        places = [name for name, _ in self.version.PLACES] + [name for pair in self.version.PAIRS for name, _ in pair]
        for name in {*places, "Cargo.toml", "CHANGELOG.md", "Package.swift"}:
            if (real / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(real / name, copy / name)
        project.ROOT = copy

    def test_as_it_is(self) -> None:
        self.assertEqual(self.version.disagreements(release=False), [])

    def test_every_place_is_held(self) -> None:
        pairs = self.version.PLACES + [other for _, other in self.version.PAIRS]
        for name, pattern in pairs:
            with self.subTest(name):
                file = project.ROOT / name
                before = file.read_text(encoding="utf-8")
                at = re.search(pattern, before, re.MULTILINE).start(2 if "()" in pattern or pattern.count("(") > 2 else 1)
                file.write_text(before[:at] + "9" + before[at:], encoding="utf-8")
                self.assertTrue(any(name in line for line in self.version.disagreements(release=False)), pattern)
                file.write_text(before, encoding="utf-8")

    def test_set_reaches_every_place(self) -> None:
        self.version.set_everywhere("7.8.9")
        self.assertEqual(project.version(), "7.8.9")
        self.assertEqual(self.version.disagreements(release=False), [])

    def test_release_wants_notes(self) -> None:
        self.assertTrue(any("CHANGELOG" in line for line in self.version.disagreements(release=True)))
        changelog = project.ROOT / "CHANGELOG.md"
        changelog.write_text(changelog.read_text(encoding="utf-8") + f"\n## [{project.version()}] - 2027-01-01\n\n- All of it.\n", encoding="utf-8")
        self.assertEqual(self.version.notes(project.version()), "- All of it.")
        self.assertEqual(self.version.disagreements(release=True), [])

    def test_package_of_a_release(self) -> None:
        if not (project.ROOT / "Package.swift").is_file():
            self.skipTest("no Package.swift")
        text = self.version.package_swift("ab" * 32)
        self.assertIn(f'/v{project.version()}/Silhouette.xcframework.zip", "{"ab" * 32}")', text)
        self.assertRaises(SystemExit, self.version.package_swift, "ab")


class Models(unittest.TestCase):
    """models.py."""

    def setUp(self) -> None:
        real, copy = project.ROOT, Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, copy)
        self.addCleanup(setattr, project, "ROOT", real)
        for name in [*models.PLACES, *(f"core/segmenter/models/{name}" for name in project.MODELS)]:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(real / name, copy / name)
        project.ROOT = copy

    def test_as_it_is(self) -> None:
        self.assertEqual(models.missing(), [])

    def test_every_place_is_held(self) -> None:
        for place in models.PLACES:
            for name in project.MODELS:
                with self.subTest(f"{place} {name}"):
                    file = project.ROOT / place
                    before = file.read_text(encoding="utf-8")
                    file.write_text(before.replace(name, "silhouette-other.safetensors"), encoding="utf-8")
                    found = models.missing()
                    self.assertTrue(len(found) == 1 and place in found[0] and name in found[0], found)
                    file.write_text(before, encoding="utf-8")

    def test_files(self) -> None:
        project.weights(project.MODELS[0]).rename(project.weights("silhouette-cats.safetensors"))
        found = models.missing()
        self.assertEqual(len(found), 2, found)
        self.assertIn(f"{project.MODELS[0]} is missing", found[0])
        self.assertIn("silhouette-cats.safetensors is not in", found[1])


class Readers(unittest.TestCase):
    """Damaged files raise their own kind of error; joined libraries are read back unchanged."""

    def test_joined(self) -> None:
        def archive(cpu: int, kind: int, name: bytes) -> bytes:
            symbols = struct.pack("<IBBHQ", 1, 0x0F, 1, 0, 0)
            head = struct.pack("<IIIIIIII", 0xFEEDFACF, cpu, kind, 1, 2, 48, 0, 0)
            commands = struct.pack("<IIIIII", macho.LC_BUILD_VERSION, 24, 1, 12 << 16, 0, 0)
            commands += struct.pack("<IIIIII", macho.LC_SYMTAB, 24, 80, 1, 96, 2 + len(name))
            body = head + commands + symbols + b"\0_"[:1] + name + b"\0"
            return b"!<arch>\n" + b"silhouette_ffi.o".ljust(48) + str(len(body)).encode().ljust(10) + b"`\n" + body + b"\n" * (len(body) & 1)

        one, other = archive(0x0100000C, 0, b"_silhouette_a"), archive(0x01000007, 3, b"_silhouette_ab")
        joined = macho.read(macho.join([one, other]))
        self.assertEqual([(part.architecture, part.platforms, part.oldest, part.defined, part.data) for part in joined], [
            ("arm64", {"macos"}, {"12.0"}, {"silhouette_a"}, one), ("x86_64", {"macos"}, {"12.0"}, {"silhouette_ab"}, other)])  # fmt: skip

    def test_no_library(self) -> None:
        for data in (b"", b"\x7fELF", b"\x7fELF\2\1" + b"\0" * 200, b"MZ" + b"\0" * 64):
            self.assertRaises(elf.ElfError, elf.read, data)
        for data in (b"", b"!<arch>\n", b"\xca\xfe\xba\xbe\0\0\0\2", b"!<arch>\n" + b"x" * 48 + b"99999     `\n"):
            self.assertRaises(macho.MachOError, macho.read, data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("aar", "maven", "xcframework"):
        parser.add_argument(f"--{option}", type=Path)
    parser.add_argument("--abis", default=",".join(project.ABIS))
    parser.add_argument("--slices", default=",".join(project.SLICES))
    chosen, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
