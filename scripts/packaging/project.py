"""Facts about the project for packaging and its checks: its version, its paths, limits on sizes and names."""

from __future__ import annotations

import hashlib
import re
import struct
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GROUP, NAME = "dev.silhouette", "silhouette"
LIBRARY = "libsilhouette_ffi.so"
ARCHIVE = "libsilhouette_ffi.a"
# The models that come with the packages, and their places in the AAR.
MODELS = ("silhouette-person.safetensors", "silhouette-voc21.safetensors")
ASSETS = {f"assets/silhouette/{name}": name for name in MODELS}
SBOM = "sbom.cdx.json"
MIN_SDK = 24
LINKCHECK = "-linkcheck"

ABIS = {"arm64-v8a": ("aarch64", "aarch64-linux-android"), "armeabi-v7a": ("arm", "armv7-linux-androideabi"), "x86_64": ("x86_64", "x86_64-linux-android")}

# Slices of the XCFramework: platform, variant, architecture -> Rust's target, oldest system.
SLICES = {
    "ios-arm64": ("ios", None, {"arm64": "aarch64-apple-ios"}, "15.0"),
    "ios-arm64_x86_64-simulator": ("ios", "simulator", {"arm64": "aarch64-apple-ios-sim", "x86_64": "x86_64-apple-ios"}, "15.0"),
    "macos-arm64_x86_64": ("macos", None, {"arm64": "aarch64-apple-darwin", "x86_64": "x86_64-apple-darwin"}, "12.0"),
}

# Maximum size of each part in bytes. A change that exceeds one must explain why here.
LIMITS = {"jni/arm64-v8a": 1_950_000, "jni/armeabi-v7a": 1_300_000, "jni/x86_64": 2_400_000, "classes": 400_000, "weights": 6_000_000}

EXPORTS = re.compile(r"(?:uniffi|ffi)_silhouette_ffi_\w+|JNI_OnLoad|Java_dev_silhouette_\w+|silhouette_\w+")


def version() -> str:
    """The workspace's version: its only source."""
    text = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    found = re.search(r'^\[workspace\.package\][^\[]*?^version = "([^"]+)"', text, re.MULTILINE | re.DOTALL)
    if not found:
        raise SystemExit("Cargo.toml: no version in [workspace.package]")
    return found.group(1)


def system_libraries() -> dict[str, tuple[str, int]]:
    """Android's names that the library may use: name -> (library, API level that introduced it)."""
    names = {}
    for line in (ROOT / "scripts/packaging/system-libraries.txt").read_text(encoding="utf-8").splitlines():
        words = line.split("#")[0].split()
        for name in words[2:]:
            names[name] = (words[0], int(words[1]))
    return names


def weights(name: str) -> Path:
    """A model's file."""
    return ROOT / "core/segmenter/models" / name


def sha256(data: bytes) -> str:
    """The digest as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def weights_spec(data: bytes) -> dict:
    """The spec inside a model file: name, licence and everything that affects a pixel."""
    (size,) = struct.unpack_from("<Q", data)
    if size > len(data) - 8:
        raise ValueError("the model file is truncated")
    return json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["silhouette.spec"])
