"""The bill of materials of a package as CycloneDX 1.6 JSON: every crate that is linked into the native library, with licence, digest and origin,
and the package's other dependencies. It contains no time and no random number: the same sources produce the same bytes.

sbom.py TARGET [FEATURE...] prints it.
"""

from __future__ import annotations

import json
import re
import sys
import uuid

import notices
import project

# The name space of the document's serial number: a fixed number of our own.
SPACE = uuid.UUID("6a4b8f0e-5b7c-4f0e-9d39-8d6c2f1f8a10")


def digests() -> dict[tuple[str, str], str]:
    """SHA-256 of each crate's archive, by name and version, from Cargo.lock."""
    # (Python reads TOML since 3.11; these scripts run on 3.9. Cargo writes each entry in this order.)
    lock = (project.ROOT / "Cargo.lock").read_text(encoding="utf-8")
    entries = re.findall(r'name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "([0-9a-f]{64})"', lock)
    return {(name, version): digest for name, version, digest in entries}


def crate(entry: dict, digest: str) -> dict:
    """A crate as a component."""
    link = f"pkg:cargo/{entry['name']}@{entry['version']}"
    component = {
        "type": "library",
        "bom-ref": link,
        "name": entry["name"],
        "version": entry["version"],
        "purl": link,
        "licenses": [{"expression": entry["license"]}],
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    if entry["repository"]:
        component["externalReferences"] = [{"type": "vcs", "url": entry["repository"]}]
    return component


def beside(group: str, name: str, version: str) -> dict:
    """A Maven artifact that the app's build adds."""
    link = f"pkg:maven/{group}/{name}@{version}"
    return {"type": "library", "bom-ref": link, "group": group, "name": name, "version": version, "purl": link}


def document(targets: list[str], features: list[str], artifacts: list[tuple[str, str, str]]) -> bytes:
    """The document of a package for these targets; `artifacts` are (group, name, version) of its Maven dependencies."""
    known = digests()
    components = [crate(entry, known[entry["name"], entry["version"]]) for entry in notices.packages(targets, features)]
    components += [beside(*artifact) for artifact in sorted(artifacts)]
    own = f"pkg:generic/{project.NAME}@{project.version()}"
    body = {
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": own,
                "name": project.NAME,
                "version": project.version(),
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
            },
            "properties": [{"name": "silhouette:target", "value": target} for target in sorted(targets)],
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [component["bom-ref"] for component in components]}],
    }
    serial = uuid.uuid5(SPACE, json.dumps(body, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return (json.dumps(head | body, indent=1) + "\n").encode()


def listed(data: bytes) -> dict[tuple[str, str], str]:
    """Crates of a document and their digests."""
    components = json.loads(data)["components"]
    return {(c["name"], c["version"]): c["hashes"][0]["content"] for c in components if c["purl"].startswith("pkg:cargo/")}


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    sys.stdout.buffer.write(document([sys.argv[1]], sys.argv[2:], []))
