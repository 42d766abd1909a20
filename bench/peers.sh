#!/bin/bash
# This program beside its peers on one machine, alternating in one run: machines are noisy, so only
# ratios of one run count. What is not there is said, and its rows are left out.
#
# usage: PAIR=DIR [NAME=VALUE...] bench/peers.sh
#   PAIR         the pair to measure with: build/bench/make_pair DIR TOKENIZER_DIR makes one
#   PURE         a pair whose fuser is pure C2C (make_pair DIR TOKENIZER_DIR pure)
#   LLAMA_BENCH  llama.cpp's llama-bench, with its own forms of PAIR/receiver:
#   LLAMA_BF16, LLAMA_Q8   (convert_hf_to_gguf.py --outtype bf16, then llama-quantize Q8_0)
#   ORIGINAL     a checkout of the Python original (thu-nics/C2C)
#   PYTHON       an interpreter with torch, transformers and safetensors (python3)
#   C2C          this program (build/c2c)
#   THREADS      of all of them (all processors)
#   ROUNDS       of alternation; medians are compared (3)
#   TOKENS       of the prompt (512)
#   TRAIN=1      compares a training step, too (bench/peers_train.sh)
cd "$(dirname "$0")/.." || exit 1
C2C=${C2C:-build/c2c}
PYTHON=${PYTHON:-python3}
THREADS=${THREADS:-$(nproc)}
ROUNDS=${ROUNDS:-3}
TOKENS=${TOKENS:-512}
[ -n "$PAIR" ] || { sed -n '2,/^cd/{/^cd/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
[ -x "$C2C" ] || { echo "C2C: $C2C is not there; make builds it" >&2; exit 2; }
kept=$(mktemp -d) || exit 1
trap 'rm -rf "$kept"' EXIT

missing() { # NAME WHAT: a peer that is not there
    echo "missing: $1 ($2)"
}

number() { # KEY <JSON: the number of a key
    tr ',{}' '\n\n\n' | sed -n "s/^ *\"$1\": *\([-0-9.e+]*\).*/\1/p" | head -n 1
}

keep() { # NAME VALUE: one more measurement
    [ -z "$2" ] || echo "$2" >>"$kept/$1"
}

median() { # NAME; nothing where nothing was measured
    [ -f "$kept/$1" ] || return
    sort -g "$kept/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

measure_ours() { # PREFIX PAIR OPTION...
    local prefix=$1 pair=$2 key
    shift 2
    "$C2C" bench --pair "$pair" --threads "$THREADS" --prompt-tokens "$TOKENS" --repeat 1 --json \
        "$@" >"$kept/json" || return
    for key in peak_tflops read_gb_s receiver_prefill_tok_s sharer_prefill_tok_s fuser_ms \
        fuser_peak_share fused_ttft_ms decode_tok_s decode_bandwidth_share prefill_peak_share \
        batch_decode_tok_s peak_rss_mb; do
        keep "$prefix.$key" "$(number $key <"$kept/json")"
    done
}

measure_llama() { # PREFIX MODEL: prompt, and answers behind a prompt as long
    local prefix=$1 model=$2 part
    for part in "-p $TOKENS -n 0" "-p 0 -n 32 -d $TOKENS"; do
        # shellcheck disable=SC2086 # words of options
        "$LLAMA_BENCH" -m "$model" -t "$THREADS" -r 1 -o json $part 2>/dev/null >"$kept/json"
        case $part in
        *-d*) keep "$prefix.decode" "$(number avg_ts <"$kept/json")" ;;
        *) keep "$prefix.prefill" "$(number avg_ts <"$kept/json")" ;;
        esac
    done
}

measure_original() {
    local key
    PYTHONPATH=$ORIGINAL "$PYTHON" bench/peers_original.py "$PAIR" "$TOKENS" "$THREADS" 1 \
        2>"$kept/errors" | tail -n 1 >"$kept/json"
    [ -s "$kept/json" ] || { tail -n 1 "$kept/errors"; return; }
    for key in fused_ttft_ms decode_tok_s receiver_prefill_tok_s; do
        keep "original.$key" "$(number $key <"$kept/json")"
    done
}

# From the start of the program to the first token of a prompt of 16.
measure_start() {
    local json
    json=$("$C2C" run --receiver "$PAIR/receiver" --sharer "$PAIR/sharer" --fuser "$PAIR/fuser" \
        --threads "$THREADS" --raw -n 1 --json \
        -p 'The quick brown fox jumps over the lazy dog and then it goes home to' ) || return
    keep start "$(echo "$json" | awk -v a="$(echo "$json" | number load_ms)" \
        -v b="$(echo "$json" | number ttft_ms)" 'NR == 1 { print a + b }')"
}

row() { # NAME OURS PEER GOAL LESS: a ratio; LESS 1 where a smaller number is the better one
    [ -n "$2" ] && [ -n "$3" ] || return
    awk -v n="$1" -v a="$2" -v b="$3" -v g="$4" -v less="$5" 'BEGIN {
        r = less ? b / a : a / b
        printf "%-50s %10.1f %10.1f %8.2f  %s\n", n, a, b, r, g }'
}

share() { # NAME VALUE GOAL
    [ -n "$2" ] && awk -v n="$1" -v a="$2" -v g="$3" \
        'BEGIN { printf "%-50s %10.3f %10s %8s  %s\n", n, a, "", "", g }'
}

[ -d "$PURE" ] || missing "a pair for pure C2C" "PURE=$PURE"
[ -x "$LLAMA_BENCH" ] || missing llama.cpp "LLAMA_BENCH=$LLAMA_BENCH"
[ -d "$ORIGINAL" ] || missing "the Python original" "ORIGINAL=$ORIGINAL"
for ((i = 0; i < ROUNDS; i++)); do
    measure_ours bf16 "$PAIR" --batch 8
    if [ -x "$LLAMA_BENCH" ]; then
        [ -f "$LLAMA_BF16" ] && measure_llama llama_bf16 "$LLAMA_BF16"
        [ -f "$LLAMA_Q8" ] && measure_llama llama_q8 "$LLAMA_Q8"
    fi
    measure_ours int8 "$PAIR" --weights int8
    [ -d "$PURE" ] && measure_ours pure "$PURE"
    [ -d "$ORIGINAL" ] && measure_original
    measure_start
done

echo "$TOKENS tokens, $THREADS threads, medians of $ROUNDS rounds: ours, the peer's, how much better"
row "prefill bf16, tokens/s, llama.cpp" "$(median bf16.receiver_prefill_tok_s)" \
    "$(median llama_bf16.prefill)" "at least 6 (with AMX)"
share "prefill bf16, share of the products measured" "$(median bf16.prefill_peak_share)" "at least 0.25"
row "decode bf16, tokens/s, llama.cpp" "$(median bf16.decode_tok_s)" \
    "$(median llama_bf16.decode)" "at least 1.3"
share "decode bf16, share of the bandwidth measured" "$(median bf16.decode_bandwidth_share)" "at least 0.85"
row "decode int8, tokens/s, llama.cpp Q8_0" "$(median int8.decode_tok_s)" \
    "$(median llama_q8.decode)" "at least 1.3"
row "prefill int8, tokens/s, our bf16" "$(median int8.receiver_prefill_tok_s)" \
    "$(median bf16.receiver_prefill_tok_s)" "at least 1"
row "fused first token bf16, ms, the original" "$(median bf16.fused_ttft_ms)" \
    "$(median original.fused_ttft_ms)" "at least 3" 1
row "decode bf16, tokens/s, the original" "$(median bf16.decode_tok_s)" \
    "$(median original.decode_tok_s)" ""
# receiver + sharer + the fuser at a quarter of the peak
row "fused first token bf16, ms, its parts" "$(median bf16.fused_ttft_ms)" "$(awk \
    -v t="$TOKENS" -v r="$(median bf16.receiver_prefill_tok_s)" \
    -v s="$(median bf16.sharer_prefill_tok_s)" -v f="$(median bf16.fuser_ms)" \
    -v p="$(median bf16.fuser_peak_share)" \
    'BEGIN { if (r && s) print 1e3 * t / r + 1e3 * t / s + f * p / 0.25 }')" "at least 1 / 1.1" 1
# sharer + fuser, and no pass of the receiver over the fused section
row "pure C2C first token, ms, its parts" "$(median pure.fused_ttft_ms)" "$(awk -v t="$TOKENS" \
    -v s="$(median pure.sharer_prefill_tok_s)" -v f="$(median pure.fuser_ms)" \
    'BEGIN { if (s && f) print 1e3 * t / s + f }')" "at least 1 / 1.1" 1
row "8 answers together, tokens/s, one" "$(median bf16.batch_decode_tok_s)" \
    "$(median bf16.decode_tok_s)" "at least 3"
row "start to first token, 16-token prompt, ms, 1 s" "$(median start)" 1000 "at least 1" 1
if [ -n "$TRAIN" ] && [ -d "$ORIGINAL" ]; then
    if [ -x bench/peers_train.sh ]; then
        PYTHONPATH=$ORIGINAL bench/peers_train.sh "$PAIR" "$THREADS" "$PYTHON"
    else
        missing "the comparison of training" bench/peers_train.sh
    fi
fi
exit 0
