#!/usr/bin/env bash
# resources.sh ANDROID_ALL_JAR MAIN PACKAGE: compiles MAIN's manifest and res/, and the AAR's assets, to R.java and the package that Robolectric reads,
# in target/ of the current folder. Needs aapt2 (Debian: package aapt). The jar is Android 14's: Debian's aapt2 cannot read a newer one's resources.
set -euo pipefail
aar=$(cd "$(dirname "$0")" && pwd)/target/aar
jar=$1 main=$2 package=$3 out=$PWD/target
mkdir -p "$out/R" "$out/test-classes/com/android/tools"
# Values that the Android Gradle plugin takes from build.gradle.kts: package, versions.
sed "s|<manifest |<manifest package=\"$package\" |; s|<application\$|<uses-sdk android:minSdkVersion=\"24\" android:targetSdkVersion=\"34\" />\n    <application|" \
  "$main/AndroidManifest.xml" >"$out/AndroidManifest.xml"
compiled=()
if [ -d "$main/res" ]; then
  aapt2 compile --dir "$main/res" -o "$out/res.zip"
  compiled=("$out/res.zip")
fi
aapt2 link -I "$jar" --manifest "$out/AndroidManifest.xml" -A "$aar/assets" --java "$out/R" --proguard "$out/resources.pro" -o "$out/app.ap_" \
  ${compiled[@]+"${compiled[@]}"} 2> >(grep -v 'Unknown chunk type' >&2)
cat >"$out/test-classes/com/android/tools/test_config.properties" <<P
android_merged_manifest=$out/AndroidManifest.xml
android_merged_assets=$aar/assets
android_resource_apk=$out/app.ap_
android_custom_package=$package
P
