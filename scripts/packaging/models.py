"""Every place that packages the models, or looks for them, names each of project.MODELS, and the repository has exactly these files. Prints what
does not.
"""

from __future__ import annotations

import project

# A file and how it names a model.
PLACES = {
    "core/segmenter/src/builtin.rs": 'include_bytes!("../models/{name}")',
    "Package.swift": '.copy("{name}")',
    "ios/Sources/Silhouette/Model.swift": 'packaged("{name}"',
    "android/build.gradle.kts": 'models.file("{name}")',
    "android/src/main/kotlin/dev/silhouette/AndroidModel.kt": 'packaged(context, "{name}")',
    "sample-apps/android/sdk.sh": "core/segmenter/models/{name}",
}


def missing() -> list[str]:
    """What is missing, and what is too much."""
    found = []
    there = {path.name for path in (project.ROOT / "core/segmenter/models").glob("*.safetensors")}
    found += [f"core/segmenter/models/{name} is missing" for name in sorted(set(project.MODELS) - there)]
    found += [f"core/segmenter/models/{name} is not in scripts/packaging/project.py" for name in sorted(there - set(project.MODELS))]
    for place, how in PLACES.items():
        text = (project.ROOT / place).read_text(encoding="utf-8")
        found += [f"{place}: no {how.format(name=name)}" for name in project.MODELS if how.format(name=name) not in text]
    return found


def main() -> None:
    """The command."""
    wrong = missing()
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"{len(project.MODELS)} models in {len(PLACES)} places")


if __name__ == "__main__":
    main()
