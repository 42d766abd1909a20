#!/bin/sh
# peers_train.sh - a training step of the Python original and ours in f32 and bf16, one after the other on
# the same pair: seconds a step, tokens a second, the most memory, and how many times as fast ours is.
# usage: PYTHONPATH=<checkout of thu-nics/C2C> bench/peers_train.sh PAIR [THREADS [PYTHON]]
# Ours is build/bench/bench_train (make test-programs builds it). They do not run at the same time: together
# they would want 24 GB. Run it where nothing else runs.
set -eu

if [ $# -lt 1 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi
pair=$1 threads=${2:-2} python=${3:-python3}
here=$(dirname "$0")
ours=$here/../build/bench/bench_train

# field NAME: a number of the JSON object on standard input
field() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p"; }

peer=$("$python" "$here/peers_train.py" "$pair" "$threads" 3)
speed=$(echo "$peer" | field tokens_per_second) memory=$(echo "$peer" | field gib)
printf 'original f32: %s s a step, %s tokens/s, %s GiB\n' "$(echo "$peer" | field seconds)" "$speed" "$memory"
for how in f32 bf16; do
    line=$("$ours" "$pair" "$how" "$threads" 3 | head -1)
    echo "c2c $line"
    echo "$line" | sed 's/.*, \([0-9.]*\) tokens.s, \([0-9.]*\) GiB.*/\1 \2/' | {
        read -r fast held
        awk "BEGIN { printf \"    %.2f times as fast, %.2f times the memory\\n\", $fast / $speed, $held / $memory }"
    }
done
