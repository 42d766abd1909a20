#!/bin/sh
# What the libraries show to others: the functions of c2c.h, all of them and nothing else.
# usage: tests/install/test_symbols.sh BUILD
build=$1
failed=0

# Names that the header declares, one per line.
declared=$(tr '\n' ' ' <include/c2c.h | grep -oE 'C2C_API [^;]*;' | grep -oE '\bc2c_[a-z0-9_]+ *\(' |
    tr -d ' (' | sort -u)

check() { # NAME COMMAND...: the command prints defined global symbols as nm does
    name=$1
    shift
    echo "[ RUN      ] $name"
    # Sanitizers add names of their own to what they instrument.
    defined=$("$@" | awk 'NF >= 3 { print $3 }' | grep -vE '^__(odr_)?(asan|ubsan|sanitizer)' | sort -u)
    others=$(printf '%s\n' "$defined" | grep -v '^c2c_')
    lacking=$(printf '%s\n' "$declared" | grep -vxF "$defined")
    if [ -n "$defined" ] && [ -z "$others" ] && [ -z "$lacking" ]; then
        echo "[       OK ] $name"
    else
        echo "exported, but not c2c_:" $others
        echo "declared in c2c.h, but not defined:" $lacking
        echo "[  FAILED  ] $name"
        failed=1
    fi
}

echo "[==========] Running 2 test(s)."
check "libc2c.so exports c2c.h" nm -D --defined-only "$build/libc2c.so"
check "libc2c.a exports c2c.h" nm -g --defined-only "$build/libc2c.a"
exit $failed
