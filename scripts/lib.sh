# shellcheck shell=bash
# Shared functions of the scripts: messages, installing missing tools, Rust, the build folder. To be sourced; works with
# bash 3.2.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rust_needed=1.95

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: runs it as root, or fails if this user is not allowed to.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else have sudo && sudo -n "$@" 2>/dev/null; fi
}

# apt_install PACKAGE...: installs Debian packages if possible; fails quietly otherwise.
apt_install() {
  have apt-get || return 1
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return
  as_root apt-get update -qq >/dev/null 2>&1 || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

# rust_is_new_enough: whether cargo exists and is at least $rust_needed.
rust_is_new_enough() {
  local version
  version=$(rustc --version 2>/dev/null) || return 1
  version=${version#rustc }
  [ "${version%%.*}" -gt 1 ] && return
  version=${version#1.}
  [ "${version%%.*}" -ge "${rust_needed#1.}" ]
}

# need_rust: Rust and a linker, installed if missing.
need_rust() {
  if ! have cc; then
    if [ "$(uname)" = Darwin ]; then die "No linker: run 'xcode-select --install', then this again."; fi
    apt_install gcc libc6-dev || die "No linker: install a C compiler (Debian: apt install gcc libc6-dev), then run this again."
  fi
  rust_is_new_enough && return
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  rust_is_new_enough && return
  if ! have rustup; then
    say "installing Rust with rustup"
    if have brew; then
      brew install --quiet rustup >&2 || true
      PATH=$(brew --prefix rustup 2>/dev/null)/bin:$PATH
    fi
    have rustup || apt_install rustup || true
    if ! have rustup; then
      have curl || apt_install curl ca-certificates || die "Rust $rust_needed is needed: install it from https://rustup.rs, then run this again."
      curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal --no-modify-path >&2 ||
        die "Rust could not be installed: install it from https://rustup.rs, then run this again."
    fi
  fi
  rust_is_new_enough && return
  say "installing Rust $rust_needed.0"
  rustup toolchain install "$rust_needed.0" --profile minimal >&2 || die "rustup cannot install Rust $rust_needed.0."
  export RUSTUP_TOOLCHAIN=$rust_needed.0
}

# need_component NAME COMMAND: a part of the Rust toolchain that provides COMMAND.
need_component() {
  "$2" --version >/dev/null 2>&1 && return
  have rustup && say "installing $1" && rustup component add "$1" >&2
}

# maven ARG...: mvn, which starts a Kotlin daemon that outlives it and must not inherit the build folder's lock.
maven() { mvn "$@" 9>&-; }

# use_build_folder: where cargo builds. CARGO_TARGET_DIR if it is set; otherwise a folder in the user's cache, so that a fresh clone does not compile the
# dependencies again. One checkout at a time uses a folder, until leave_build_folder or the end of the script: it waits for the folder that it used last,
# otherwise takes the first free one. cargo detects changes by time stamps, which mean nothing for another checkout's files, so sources that differ from
# those last built there are touched.
use_build_folder() {
  [ -n "${CARGO_TARGET_DIR:-}" ] && return
  have flock || return 0 # macOS: target/ in the checkout
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/silhouette folder='' number=0 now
  mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || return 0
  for folder in "$cache"/build-*/ ''; do
    [ -n "$folder" ] && [ "$(cat "$folder/checkout" 2>/dev/null)" = "$root" ] && break
  done
  if [ -n "$folder" ]; then
    folder=${folder%/}
    exec 9>>"$folder/lock"
    flock -n 9 || { say "waiting for the other build of this checkout"; flock 9; }
  fi
  # Another checkout may have taken it while we waited.
  while [ -z "$folder" ] || [ "$(cat "$folder/checkout")" != "$root" ]; do
    folder=$cache/build-$number number=$((number + 1))
    mkdir -p "$folder"
    exec 9>>"$folder/lock"
    if flock -n 9; then echo "$root" >"$folder/checkout"; else folder=; fi
  done
  now=$(mktemp)
  (cd "$root" && find . \( -name target -o -name .git -o -name .venv \) -prune -o -type f -print0 |
    xargs -0 cksum | sed "s|^|$root |" | LC_ALL=C sort) >"$now"
  if [ -f "$folder/sources" ]; then
    LC_ALL=C comm -13 "$folder/sources" "$now" | cut -d' ' -f4- | while IFS= read -r file; do touch -c "$root/$file" || true; done
  fi
  mv "$now" "$folder/sources"
  export CARGO_TARGET_DIR=$folder/target
}

# leave_build_folder: releases the folder for others.
leave_build_folder() { exec 9>&-; }

# workspace_features: every optional feature of the workspace's crates, for cargo's --features, except Apple's GPU. (Crates with a workspace of
# their own are not included.)
workspace_features() {
  (cd "$root" && for manifest in core/*/Cargo.toml bindings/Cargo.toml; do
    [ -f "$manifest" ] && ! grep -q '^\[workspace\]' "$manifest" && awk '
      /^name = / && !crate { split($0, part, "\""); crate = part[2] }
      /^\[/ { inside = ($0 == "[features]") }
      inside && /^[a-z0-9_-]+ *=/ { if ($1 != "default" && $1 != "metal") printf "%s/%s,", crate, $1 }' "$manifest"
  done | sed 's/,$//')
}

# build_host_library PROFILE: builds silhouette-ffi for this machine (dev or release), as loaded by Kotlin's and Swift's tests. Always together with the
# generator: for another selection of packages cargo would rebuild what they share.
build_host_library() {
  cargo build --locked --quiet --manifest-path "$root/Cargo.toml" -p silhouette-ffi -p silhouette-bindgen --profile "$1" >&2
}

# remap_paths: compiler flags that keep this machine's folders out of the build's output (they would appear in panic
# messages).
remap_paths() {
  local cargo_home=${CARGO_HOME:-$HOME/.cargo}
  printf '%s' "--remap-path-prefix=$root=silhouette --remap-path-prefix=$cargo_home/registry/src=crates"
}

# need_python: Python 3.9 or newer, for the packaging scripts.
need_python() {
  have python3 || apt_install python3 || return 1
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'
}

# rust_objcopy ARG...: the objcopy that comes with Rust (it finds its own library only with a path), otherwise LLVM's.
rust_objcopy() {
  local sysroot tool
  sysroot=$(rustc --print sysroot)
  for tool in "$sysroot"/lib/rustlib/*/bin/rust-objcopy llvm-objcopy llvm-objcopy-14 llvm-objcopy-19; do
    if LD_LIBRARY_PATH=$sysroot/lib DYLD_LIBRARY_PATH=$sysroot/lib "$tool" --version >/dev/null 2>&1; then
      LD_LIBRARY_PATH=$sysroot/lib DYLD_LIBRARY_PATH=$sysroot/lib "$tool" "$@"
      return
    fi
  done
  die "no objcopy that supports other machines' files: install llvm"
}
