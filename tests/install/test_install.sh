#!/bin/bash
# What a user gets: make install into a fresh prefix, the examples built with nothing but pkg-config
# and the installed header, the same from Python, the installed program with its own demo pair, and
# make uninstall.
# usage: [CC=gcc] [SAN_FLAGS=] tests/install/test_install.sh
# TMPDIR is removed by tests/run.
CC=${CC:-gcc} # as in the Makefile
root=$(mktemp -d)
prefix=$root/prefix
demo=$prefix/share/c2c/demo
failed=0

# One of the demo's questions that only C2C can answer: the receiver alone says something else.
question='What work does Mubifu do? Answer in one word.'
expected='nurse.'

test_() { # NAME FUNCTION: it returns 77 after saying why it cannot be run
    echo "[ RUN      ] $1"
    "$2"
    code=$?
    if [ $code -eq 0 ]; then
        echo "[       OK ] $1"
    elif [ $code -eq 77 ]; then
        echo "[  SKIPPED ] $1"
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
    case $flags in *pcre2* | *yajl* | *utf8proc* | *yaml*) echo "too many libraries: $flags"; return 1 ;; esac
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

# Builds examples/NAME.c with the shared library and runs it; its answer goes to standard output.
example() { # NAME ARGUMENT...
    local name=$1 flags
    shift
    flags=$(pkg --cflags --libs) || return 1
    # shellcheck disable=SC2086
    "$CC" -std=c11 -Wall -Wextra -Werror $SAN_FLAGS "examples/$name.c" $flags -o "$root/$name" &&
        LD_LIBRARY_PATH=$prefix/lib "$root/$name" "$@" 2>"$root/err" || cat "$root/err"
}

# Of a fuser that is to be made.
recipe() {
    echo '{"model": {"mapping": "k_nearest", "projector":
        {"type": "C2CProjector", "params": {"hidden_dim": 16, "intermediate_dim": 16}}}}' \
        >"$root/recipe.json"
    echo "$root/recipe.json"
}

few_lines() {
    equal "$(example few_lines "$demo/receiver" "$demo/sharer" "$demo/fuser" "$question")" \
        "$expected" || return 1
    # The demo's fuser was made with the rule "last aligned": 4 layers read the last 4 of 6.
    equal "$(cat "$root/err")" "layers: 0<-2 1<-3 2<-4 3<-5" || return 1
    # Made from a recipe, by the other rule; its gates are closed, so the receiver answers alone.
    local alone
    alone=$("$prefix/bin/c2c" run --receiver "$demo/receiver" -p "$question" -n 64 2>/dev/null)
    equal "$(example few_lines "$demo/receiver" "$demo/sharer" "$(recipe)" "$question")" \
        "$alone" || return 1
    equal "$(cat "$root/err")" "layers: 0<-0 1<-2 2<-3 3<-5"
}

two_sharers() { # the demo has one: it is there twice, and every way of reading it helps
    local answers
    answers=$(example two_sharers "$demo/receiver" "$demo/sharer" "$demo/fuser" "$demo/sharer" \
        "$demo/fuser" "$question")
    equal "$(grep -v '^nobody: ' <<<"$answers")" "first: $expected
second: $expected
both, one after the other: $expected
both, side by side: $expected" && [[ $answers == nobody:* && $answers != "nobody: $expected"* ]]
}

section_plan() {
    local answers
    answers=$(example section_plan "$demo/receiver" "$demo/sharer" "$demo/fuser" \
        'Tell me what helps to answer: Which town is home to Teteke?' \
        'The home of Teteke is Eastvale.' 'Which town is home to Teteke? Answer in one word.')
    # What was told in the chat is read whatever is fused ...
    equal "$answers" "nothing fused: Eastvale.
question fused: Eastvale.
all fused: Eastvale." || return 1
    grep -q 'of 113 tokens' "$root/err" || return 1
    # ... and where nothing was told, the three plans do not come to one answer.
    answers=$(example section_plan "$demo/receiver" "$demo/sharer" "$demo/fuser" \
        'What work does Mubifu do?' 'I do not know.' "$question")
    [ "$(sed 's/.*: //' <<<"$answers" | sort -u | wc -l)" -gt 1 ] || { echo "$answers"; false; }
}

few_lines_python() {
    if ! command -v python3 >/dev/null; then
        echo "SKIP: python3 is not installed; examples/few_lines.py needs it, the library does not"
        return 77
    fi
    if [ -n "$SAN_FLAGS" ]; then
        echo "SKIP: python3 cannot load a library that was built with sanitizers"
        return 77
    fi
    local run=(env LD_LIBRARY_PATH="$prefix/lib" python3 -I examples/few_lines.py)
    equal "$("${run[@]}" "$demo/receiver" "$demo/sharer" "$demo/fuser" "$question")" "$expected" ||
        return 1
    equal "$("${run[@]}" "$demo/receiver" "$demo/sharer" "$(recipe)" "$question")" \
        "$("$prefix/bin/c2c" run --receiver "$demo/receiver" -p "$question" -n 64 2>/dev/null)" ||
        return 1
    local message
    message=$("${run[@]}" "$demo/receiver" "$root/nothing" "$demo/fuser" "$question" 2>&1)
    equal $? 1 || return 1
    [[ $message == "$root/nothing: "* ]] || { echo "message: $message"; false; }
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

echo "[==========] Running 12 test(s)."
test_ "make install" installs
test_ "make install DESTDIR" installs_below_destdir
test_ "example with the shared library" example_shared
test_ "example with the static library" example_static
test_ "example says what is missing" example_says_what_is_missing
test_ "few_lines.c" few_lines
test_ "two_sharers.c" two_sharers
test_ "section_plan.c" section_plan
test_ "few_lines.py" few_lines_python
test_ "installed program" program_runs
test_ "installed demo" demo_is_found
test_ "make uninstall" uninstalls
rm -rf "$root"
exit $failed
