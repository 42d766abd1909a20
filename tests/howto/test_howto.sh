#!/bin/bash
# Follows docs/HOWTO.md to the letter, in a copy of the tree: each page's files are written, its
# changes made, its commands run, and their output compared with what the page says.
# usage: [CC=gcc] [SAN_FLAGS=] tests/howto/test_howto.sh BUILD
# TMPDIR is removed by tests/run.
build=$1
CC=${CC:-gcc} # as in the Makefile
root=$(mktemp -d)
tree=$root/tree
page=$PWD/docs/HOWTO.md

# What was built already is built again only where a change asks for it.
copy_tree() {
    mkdir -p "$tree/$build"
    cp -a Makefile include src scripts share docs "$tree" &&
        mkdir -p "$tree/tests" && cp -a tests/. "$tree/tests" &&
        cp -a "$build/obj" "$tree/$build/"
}

# Splits a page into files NN.KIND (file, diff, sh, text) with NN.name beside file and diff. A name
# is a line with nothing but a path in backquotes. Blocks of other kinds are only to be read.
split_page() { # TITLE OUT
    awk -v title="## $1" -v out="$2" '
        /^## / { inside = ($0 == title) }
        !inside { next }
        !open && /^```/ {
            open = 1
            language = substr($0, 4)
            kind = language == "c" ? "file" : language
            used = (kind == "file" || kind == "diff") ? name != "" : \
                   kind == "sh" || (kind == "text" && prints)
            if (used) {
                file = sprintf("%s/%02d", out, ++count)
                if (kind == "file" || kind == "diff") print name > (file ".name")
                file = file "." kind
                printf "" > file
            }
            name = ""
            prints = 0
            next
        }
        open && /^```/ { open = 0; if (used) close(file); next }
        open { if (used) print > file; next }
        /^`[^` ]+`$/ { name = substr($0, 2, length($0) - 2); next }
        /^prints$/ { prints = 1; next }
        NF { name = "" ; prints = 0 }' "$page"
}

# Replaces the lines that a block shows with " " and "-" by those with " " and "+". They must stand
# in the file once.
change() { # DIFF FILE
    awk '
        NR == FNR {
            mark = substr($0, 1, 1)
            line = substr($0, 2) "\n"
            if (mark != "+") old = old line
            if (mark != "-") new = new line
            next
        }
        { text = text $0 "\n" }
        END {
            # From the start of a line to the end of one.
            at = index("\n" text, "\n" old)
            if (!at) { print "these lines are not there:\n" old > "/dev/stderr"; exit 1 }
            rest = substr(text, at + length(old))
            if (index("\n" rest, "\n" old)) {
                print "these lines are there twice:\n" old > "/dev/stderr"
                exit 1
            }
            printf "%s%s%s", substr(text, 1, at - 1), new, rest
        }' "$1" "$2" >"$root/changed" && cat "$root/changed" >"$2"
}

# The page speaks of build/; this may be another variant of it.
commands() { # SCRIPT
    sed "s|build/|$build/|g" "$1" >"$root/commands"
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL CC="$CC" SAN="${SAN_FLAGS:+1}" bash -c '
        make() { command make -s CC="$CC" SAN="$SAN" "$@"; }
        set -e
        . "$1"' bash "$root/commands"
}

follow() { # TITLE
    local steps=$root/${1// /_} step name
    mkdir "$steps"
    split_page "$1" "$steps" || return 1
    ls "$steps"/*.sh >/dev/null 2>&1 || { echo "no page \"$1\" with commands"; return 1; }
    for step in "$steps"/*; do
        name=$(cat "${step%.*}.name" 2>/dev/null)
        case $step in
        *.file)
            [ ! -e "$tree/$name" ] || { echo "$name is not new"; return 1; }
            cp "$step" "$tree/$name" || return 1
            ;;
        *.diff) change "$step" "$tree/$name" || { echo "in $name"; return 1; } ;;
        *.sh)
            (cd "$tree" && commands "$step") >"$root/out" 2>&1 || { cat "$root/out"; return 1; }
            ;;
        *.text) diff "$step" "$root/out" || return 1 ;;
        esac
    done
}

test_() { # NAME COMMAND...
    echo "[ RUN      ] $1"
    if "${@:2}"; then
        echo "[       OK ] $1"
    else
        echo "[  FAILED  ] $1"
        failed=1
    fi
}

failed=0
echo "[==========] Running 5 test(s)."
test_ "copy of the tree" copy_tree
test_ "add a model family" follow "Add a model family"
test_ "add a projector" follow "Add a projector"
test_ "add a benchmark" follow "Add a benchmark"
test_ "add a data type" follow "Add a data type"
rm -rf "$root"
exit $failed
