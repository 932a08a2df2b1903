"""samples.py: checks that the guides' samples are the ones that the tests compile.

A block of docs/*.md below a line `<!-- sample: NAME -->` must appear verbatim in a source file of the tests, between `// sample: NAME` and
`// end of sample`. Prints every block that does not.
"""

from __future__ import annotations

import re
import textwrap

import project

GUIDES = {"kotlin": ["docs/android.md", "docs/camerax.md"], "swift": ["docs/ios.md"]}
SOURCES = {
    "kotlin": ["android/src/test", "android/src/androidTest", "sample-apps/android"],
    "swift": ["ios/Tests", "sample-apps/ios"],
}
ENDINGS = {"kotlin": ".kt", "swift": ".swift"}


def samples_of(language: str) -> dict[str, str]:
    """Name -> text of every marked sample in the sources."""
    found = {}
    for folder in SOURCES[language]:
        for path in (project.ROOT / folder).rglob(f"*{ENDINGS[language]}"):
            text = path.read_text(encoding="utf-8")
            for name, body in re.findall(r"^[ ]*// sample: (\S+)\n(.*?)^[ ]*// end of sample", text, re.MULTILINE | re.DOTALL):
                found[name] = textwrap.dedent(body).strip()
    return found


def main() -> None:
    """The command."""
    wrong, count = [], 0
    for language, guides in GUIDES.items():
        known = samples_of(language)
        for guide in guides:
            path = project.ROOT / guide
            if not path.is_file():
                continue
            for name, body in re.findall(rf"<!-- sample: (\S+) -->\n+```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
                count += 1
                if known.get(name) != body.strip():
                    wrong.append(f"{guide}: sample '{name}' " + ("differs in the tests" if name in known else "is missing from the tests' sources"))
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"{count} samples match the tests")


if __name__ == "__main__":
    main()
