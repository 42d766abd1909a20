#!/bin/bash
# What a user gets: make install into a fresh prefix, the example built with nothing but pkg-config
# and the installed header, the installed program with its own demo pair, and make uninstall.
# usage: CC=gcc SAN_FLAGS= tests/install/test_install.sh BUILD
# TMPDIR is removed by tests/run.
build=$1
root=$(mktemp -d)
prefix=$root/prefix
demo=$prefix/share/c2c/demo
failed=0

# One of the demo's questions that only C2C can answer: the receiver alone says something else.
question='Where does Kimiti live? Answer in one word.'
expected='Oakham.'

test_() { # NAME FUNCTION
    echo "[ RUN      ] $1"
    if "$2"; then
        echo "[       OK ] $1"
    else
        echo "[  FAILED  ] $1"
        failed=1
    fi
}

# Not part of the make that runs the tests: its job server and its variables stay behind.
make_() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s CC="$CC" SAN="${SAN_FLAGS:+1}" \
        PREFIX="$prefix" "$@"
}

pkg() {
    PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config "$@" c2c
}

equal() { # FOUND EXPECTED
    [ "$1" = "$2" ] || { printf 'expected "%s", found "%s"\n' "$2" "$1"; false; }
}

installs() {
    make_ install || return 1
    local file
    for file in bin/c2c lib/libc2c.a lib/libc2c.so lib/libc2c.so.0 include/c2c.h \
        lib/pkgconfig/c2c.pc share/c2c/demo/eval.jsonl share/c2c/demo/receiver/config.json \
        share/c2c/demo/fuser/final/projector_0.pt; do
        [ -s "$prefix/$file" ] || { echo "missing: $file"; return 1; }
    done
    diff -r share/demo "$demo" || return 1
    equal "c2c $(pkg --modversion)" "$("$prefix/bin/c2c" --version)"
}

installs_below_destdir() {
    make_ install DESTDIR="$root/stage" || return 1
    [ -x "$root/stage$prefix/bin/c2c" ] || return 1
    # What is installed speaks of the prefix, not of the place where it was staged.
    ! grep -q stage "$root/stage$prefix/lib/pkgconfig/c2c.pc"
}

example_shared() {
    local flags
    flags=$(pkg --cflags --libs) || return 1
    # The internals' libraries are not the user's business.
    case $flags in *pcre2* | *yajl* | *utf8proc*) echo "too many libraries: $flags"; return 1 ;; esac
    # shellcheck disable=SC2086
    "$CC" -std=c11 -Wall -Wextra -Werror $SAN_FLAGS examples/fused_answer.c $flags \
        -o "$root/shared" || return 1
    equal "$(LD_LIBRARY_PATH=$prefix/lib "$root/shared" "$demo" "$question")" "$expected"
}

example_static() {
    local flags
    flags=$(pkg --static --cflags --libs) || return 1
    if [ -n "$SAN_FLAGS" ]; then
        # A sanitizer does not go into a static program: only our own library is static then.
        flags="$SAN_FLAGS ${flags/-lc2c/-l:libc2c.a}"
    else
        flags="-static $flags"
    fi
    # shellcheck disable=SC2086
    "$CC" -std=c11 examples/fused_answer.c $flags -o "$root/static" || return 1
    equal "$("$root/static" "$demo" "$question")" "$expected"
}

example_says_what_is_missing() {
    local message
    message=$(LD_LIBRARY_PATH=$prefix/lib "$root/shared" "$root/nothing" "$question" 2>&1)
    equal $? 1 || return 1
    case $message in
    "$root/nothing/receiver"*) ;;
    *) echo "message: $message"; return 1 ;;
    esac
}

program_runs() ( # in another folder: nothing is looked for in the repository
    cd / || return 1
    answer=$("$prefix/bin/c2c" run --receiver "$demo/receiver" --sharer "$demo/sharer" \
        --fuser "$demo/fuser" -p "$question" 2>"$root/err")
    equal "$answer" "$expected" || { cat "$root/err"; false; }
)

demo_is_found() ( # the one below the prefix, which may stand anywhere
    mv "$prefix" "$prefix.moved" && cd / || return 1
    answer=$("$prefix.moved/bin/c2c" demo --questions 1 --limit 2 2>&1)
    code=$?
    mv "$prefix.moved" "$prefix"
    [ $code -eq 0 ] && [[ $answer == *"2 questions"* ]] || { echo "$answer"; false; }
)

uninstalls() {
    make_ uninstall || return 1
    equal "$(find "$prefix" ! -type d)" ""
}

echo "[==========] Running 8 test(s)."
test_ "make install" installs
test_ "make install DESTDIR" installs_below_destdir
test_ "example with the shared library" example_shared
test_ "example with the static library" example_static
test_ "example says what is missing" example_says_what_is_missing
test_ "installed program" program_runs
test_ "installed demo" demo_is_found
test_ "make uninstall" uninstalls
rm -rf "$root"
exit $failed
