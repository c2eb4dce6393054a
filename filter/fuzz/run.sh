#!/bin/sh
# Builds every fuzz target once and runs each for some seconds: ./run.sh [seconds, 5 by default].
# `./run.sh <seconds> <target>` runs one that is built.
#
# A stable toolchain and a C++ compiler are enough. The flags are those of `cargo fuzz` but for its
# address sanitizer, which needs a nightly one and finds little where there is no unsafe code.
# Whatever is found is left in artifacts/ and new inputs in the target directory, both outside git;
# the seeds are in corpus/. To run an input again: <target directory>/.../release/<target> <file>.
set -eu

cd "$(dirname "$0")"
seconds=${1:-5}
out=${CARGO_TARGET_DIR:-$PWD/target}
triple=$(rustc -vV | sed -n 's/^host: //p')

flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4'
flags="$flags -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags="$flags -Cllvm-args=-sanitizer-coverage-pc-table"
flags="$flags -Cllvm-args=-sanitizer-coverage-trace-compares"
# With a target of its own, build scripts and macros stay as they are.
[ "${2:-}" ] || RUSTFLAGS="$flags --cfg fuzzing" CARGO_TARGET_DIR="$out" \
    cargo build --quiet --locked --release --target "$triple" --bins

# Runs one target: run <target>.
run() {
    grown="$out/fuzz-corpus/$1"
    log="$out/fuzz-corpus/$1.log"
    mkdir -p "$grown"
    if "$out/$triple/release/$1" "$grown" "corpus/$1" -max_total_time="$seconds" \
        -artifact_prefix="artifacts/$1-" -rss_limit_mb=1024 -timeout=5 -max_len=4096 \
        -print_final_stats=1 >"$log" 2>&1
    then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        printf '%-14s %s executions\n' "$1" "$runs"
    else
        printf '%-14s FAILED\n%s\n' "$1" "$(tail -n 40 "$log")"
        return 1
    fi
}

mkdir -p artifacts
# As many at once as there are cores; a target uses one.
if [ "${2:-}" ]; then
    run "$2"
else
    for source in fuzz_targets/*.rs; do basename "$source" .rs; done |
        xargs -P "$(nproc)" -n 1 "./$(basename "$0")" "$seconds"
fi
