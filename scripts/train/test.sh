#!/usr/bin/env bash
# test.sh: the tiny training of test_train.py, against the command of this workspace. Ends with 77 where there is no Python with torch.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/env") || { echo "skipped: no Python with torch (scripts/train/env says why)"; exit 77; }
cd "$here/../.."
# As the gate's unit tests build it for themselves: what they have built already is not built again.
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
cargo test --locked -q --workspace --exclude silhouette-rules --exclude silhouette-bindgen --test commands --no-run --features "$(workspace_features)"
SILHOUETTE=$(cargo metadata --format-version 1 --no-deps | "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/silhouette
export SILHOUETTE
cd "$here"
"$python" -B -m unittest test_train
