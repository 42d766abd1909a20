#!/bin/sh
# python_test.sh - read by tests of one check, which a Python program makes where Python has what it
# needs. Between the two functions the test writes $folder/check.py, which gets the program c2c and
# a folder of its own as arguments.

# python_test_begin BUILD NAME MODULES WHAT: ends here, skipped, without these modules (what they are).
python_test_begin() {
    build=$1 name=$2
    python=${PYTHON:-python3}
    echo "[==========] Running 1 test(s)."
    echo "[ RUN      ] $name"
    if ! "$python" -c "import $3" 2>/dev/null; then
        echo "SKIP: $python has no $4"
        echo "[  SKIPPED ] $name"
        exit 0
    fi
    folder=$(mktemp -d) || exit 1
    trap 'rm -rf "$folder"' EXIT
}

python_test_end() {
    if "$python" -W ignore "$folder/check.py" "$build/c2c" "$folder"; then
        echo "[       OK ] $name"
    else
        echo "[  FAILED  ] $name"
        exit 1
    fi
}
