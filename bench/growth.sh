#!/bin/bash
# How cost grows with the prompt: measures pairs at several lengths, and draws what was measured.
#
# usage: bench/growth.sh measure NAME PAIR LENGTH... >>FILE    lines "NAME LENGTH TTFT_MS DECODE_MS"
#        bench/growth.sh table FILE                            for a page of text
#        bench/growth.sh plot FILE >FILE.svg                   both axes are logarithmic
# C2C: the program (build/c2c).
C2C=${C2C:-build/c2c}

number() { # KEY <JSON
    tr ',{}' '\n\n\n' | sed -n "s/^ *\"$1\": *\([-0-9.e+]*\).*/\1/p" | head -n 1
}

measure() { # NAME PAIR LENGTH...
    local name=$1 pair=$2 length json
    shift 2
    for length in "$@"; do
        json=$("$C2C" bench --pair "$pair" --prompt-tokens "$length" --new-tokens 9 \
            --repeat $((length > 1024 ? 1 : 3)) --json) || return
        echo "$name $length $(echo "$json" | number fused_ttft_ms)" \
            "$(echo "$json" | number decode_tok_s | awk '{ print 1000 / $1 }')"
    done
}

table() { # FILE
    echo '| pair | prompt | fused first token, ms | ms for each of its tokens | a token of the answer, ms |'
    echo '|---|---|---|---|---|'
    awk '{ printf "| %s | %d | %.1f | %.3f | %.2f |\n", $1, $2, $3, $3 / $2, $4 }' "$1"
}

# Two panels: the first token, and a token of the answer, with a line for each pair.
plot() { # FILE
    awk '
    function x_of(v) { return left + width * (log(v) - log(x0)) / (log(x1) - log(x0)) }
    function y_of(v) { return top + height - height * (log(v) - log(y0)) / (log(y1) - log(y0)) }
    function text(x, y, anchor, words) {
        printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, words
    }
    function line(xa, ya, xb, yb, class) {
        printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", xa, ya, xb, yb, class
    }
    function panel(column, title,    i, j, v, points) {
        y0 = y1 = value[1, column]
        for (i = 1; i <= n; i++) {
            if (value[i, column] < y0) y0 = value[i, column]
            if (value[i, column] > y1) y1 = value[i, column]
        }
        y0 = 10 ^ floor(log(y0) / log(10)); y1 = 10 ^ (floor(log(y1) / log(10)) + 1)
        text(left + width / 2, top - 10, "middle", title)
        for (v = y0; v <= y1 * 1.01; v *= 10) {
            line(left, y_of(v), left + width, y_of(v), "grid")
            text(left - 6, y_of(v) + 4, "end", v " ms")
        }
        for (i = 1; i <= n; i++)
            if (!((column, value[i, 2]) in seen)) {
                seen[column, value[i, 2]] = 1
                line(x_of(value[i, 2]), top, x_of(value[i, 2]), top + height, "grid")
                text(x_of(value[i, 2]), top + height + 16, "middle", value[i, 2])
            }
        for (j = 1; j <= names; j++) {
            points = ""
            for (i = 1; i <= n; i++)
                if (value[i, 1] == name[j]) {
                    points = points sprintf("%.1f,%.1f ", x_of(value[i, 2]), y_of(value[i, column]))
                    printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" class=\"c%d\"/>\n",
                        x_of(value[i, 2]), y_of(value[i, column]), j
                    last = i
                }
            printf "<polyline points=\"%s\" class=\"l%d\"/>\n", points, j
            text(x_of(value[last, 2]) - 8, y_of(value[last, column]) - 8, "end", name[j])
        }
    }
    function floor(v) { return v == int(v) ? v : v < 0 ? int(v) - 1 : int(v) }
    {
        n++
        for (i = 1; i <= NF; i++) value[n, i] = $i
        if (!($1 in known)) { known[$1] = 1; name[++names] = $1 }
        if (n == 1 || $2 < x0) x0 = $2
        if (n == 1 || $2 > x1) x1 = $2
    }
    END {
        print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 380\" font-family=\"sans-serif\" font-size=\"12\">"
        print "<style>.grid{stroke:#ddd}polyline{fill:none;stroke-width:2}" \
            ".l1{stroke:#1f6fb4}.c1{fill:#1f6fb4}.l2{stroke:#c8501e}.c2{fill:#c8501e}</style>"
        print "<rect width=\"920\" height=\"380\" fill=\"#fff\"/>"
        width = 360; height = 280; top = 40
        left = 80
        panel(3, "fused first token, by tokens of the prompt")
        left = 530
        panel(4, "a token of the answer, by tokens of the prompt")
        print "</svg>"
    }' "$1"
}

case $1 in
measure | table | plot) "$@" ;;
*) sed -n '2,/^C2C=/{/^C2C=/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
