#!/usr/bin/env bash
# docs-code.sh: extracts the Kotlin of docs/camerax.md verbatim to target/docs, where the tests compile it.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf target/docs
mkdir -p target/docs
awk '
  /^```kotlin$/ { inside = 1; file = "target/docs/Block" ++blocks ".kt"; print "package docs.camerax\n" >file; next }
  /^```$/ { inside = 0 }
  inside { print >file }
  END { if (blocks < 2) { print "docs/camerax.md: no Kotlin found" >"/dev/stderr"; exit 1 } }
' ../../docs/camerax.md
