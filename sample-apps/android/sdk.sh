#!/usr/bin/env bash
# sdk.sh [AAR]: lays out in target/aar what an app gets from the AAR: classes.jar, assets/, proguard.txt (consumer rules). Without an AAR
# the same is built from android/ as compiled by Maven, which needs no native libraries for phones.
set -euo pipefail
cd "$(dirname "$0")"
library=${SILHOUETTE_ANDROID:-$PWD/../../android} out=$PWD/target/aar
rm -rf "$out"
mkdir -p "$out"
if [ $# -gt 0 ]; then
  python3 -m zipfile -e "$1" "$out"
else
  mvn -B -q -f "$library/pom.xml" -Dmaven.test.skip=true process-classes
  jar --create --file "$out/classes.jar" -C "$library/target/classes" .
  mkdir -p "$out/assets/silhouette"
  cp ../../core/segmenter/models/silhouette-person.safetensors ../../core/segmenter/models/silhouette-voc21.safetensors "$out/assets/silhouette/"
  cp "$library/consumer-rules.pro" "$out/proguard.txt"
fi
