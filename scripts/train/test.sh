#!/usr/bin/env bash
# test.sh: the tiny training of test_train.py, with the command of this workspace. Exits with 77 if there is no Python with torch.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/env") || { echo "skipped: no Python with torch (scripts/train/env prints the reason)"; exit 77; }
cd "$here/../.."
# With the same features as the gate's unit tests, so that nothing is built again.
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
cargo test --locked -q --workspace --exclude silhouette-rules --exclude silhouette-bindgen --test commands --no-run --features "$(workspace_features)"
SILHOUETTE=$(cargo metadata --format-version 1 --no-deps | "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/silhouette
export SILHOUETTE
cd "$here"
"$python" -B -m unittest test_train
