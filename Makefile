# c2c: make, make demo, make test, make help.
# Variants build beside each other: the release program is build/c2c, SAN=1 gives build/san/,
# CC=clang gives build/clang/, both give build/clang-san/. V=1 shows the commands.

VERSION := $(shell sed -n 's/^.define C2C_VERSION "\(.*\)"$$/\1/p' include/c2c.h)
PREFIX  ?= /usr/local
ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS  ?= -O2 -g

SAN     := $(filter-out 0,$(SAN))
empty   :=
VARIANT := $(subst $(empty) $(empty),-,$(strip $(findstring clang,$(CC)) $(if $(SAN),san)))
VARIANT := $(if $(FUZZ),fuzz,$(VARIANT))
B       := build$(if $(VARIANT),/$(VARIANT))
OBJ     := $(B)/obj

# ---- Packages and flags -------------------------------------------------------------------------
LIBS     := libpcre2-8 libutf8proc yajl yaml-0.1 libmd
APP_LIBS := libedit# for the program alone
ifneq ($(filter-out help clean lint demo test fuzz uninstall,$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell pkg-config --exists $(LIBS) $(APP_LIBS) && echo yes),yes)
$(error pkg-config does not find $(LIBS) $(APP_LIBS): run scripts/deps, which installs what is missing)
endif
endif

C2C_CPPFLAGS := -Iinclude -Isrc -D_POSIX_C_SOURCE=200809L \
                $(shell pkg-config --cflags $(LIBS) 2>/dev/null)
C2C_CFLAGS   := -std=c11 -fPIC -fvisibility=hidden -pthread -Wall -Wextra -Werror -MMD -MP
C2C_LIBS     := $(shell pkg-config --libs $(LIBS) 2>/dev/null) -lm -pthread
C2C_APP_LIBS := $(shell pkg-config --libs $(APP_LIBS) 2>/dev/null)
SAN_FLAGS    := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifneq ($(SAN)$(FUZZ),)
C2C_CFLAGS   += $(SAN_FLAGS) $(if $(FUZZ),-fsanitize=fuzzer-no-link)
C2C_LDFLAGS  := $(SAN_FLAGS)
endif

# ---- Sources: a folder under src/ is a room, and nothing is listed twice ------------------------
LIB_SRC := $(filter-out src/app/%,$(sort $(wildcard src/*/*.c src/*/*/*.c)))
APP_SRC := $(sort $(wildcard src/app/*.c))
LIB_OBJ := $(LIB_SRC:src/%.c=$(OBJ)/%.o)
APP_OBJ := $(APP_SRC:src/%.c=$(OBJ)/%.o)

# The CPU kernels are compiled once per instruction set and chosen at run time.
ifneq ($(filter x86_64%,$(shell $(CC) -dumpmachine 2>/dev/null)),)
AVX512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c
$(OBJ)/backend/cpu/%_avx512.o: C2C_CFLAGS += $(AVX512)
$(OBJ)/backend/cpu/%_avx2.o: C2C_CFLAGS += -mavx2 -mfma -mf16c
$(OBJ)/backend/cpu/linear_%.o: C2C_CFLAGS += $(AVX512) -mavx512bf16 -mavx512vnni
$(OBJ)/backend/cpu/attention_dot.o: C2C_CFLAGS += $(AVX512) -mavx512bf16
$(OBJ)/backend/cpu/linear_amx%.o: C2C_CFLAGS += -mamx-tile -mamx-bf16 -mamx-int8
endif
# Sanitizers make the unrolled kernels slow to compile; parsers, which fuzzing is for, have none.
KERNEL_FLAGS := $(if $(FUZZ),-O1 -fno-sanitize=all,$(if $(SAN),-O1,-O3))
$(OBJ)/backend/cpu/%.o: C2C_CFLAGS += $(KERNEL_FLAGS) -fno-math-errno -ffp-contract=off

TEST_BIN    := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/*/test_*.c)))
TEST_HELP   := $(patsubst %.c,$(OBJ)/%.o,$(sort $(wildcard tests/support/*.c)))
APP_PARTS   := $(filter-out $(OBJ)/app/main.o,$(APP_OBJ)) $(patsubst %.c,$(OBJ)/%.o,\
                 $(filter-out tests/app/test_%,$(sort $(wildcard tests/app/*.c))))
OP_TABLE    := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tests/backend/test_%,\
                 $(sort $(wildcard tests/backend/*.c))))
MUTATE_OBJ  := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tests/trust/test_%,\
                 $(sort $(wildcard tests/trust/*.c))))
GOLDEN_OBJ  := $(patsubst %.c,$(OBJ)/%.o,$(filter-out $(wildcard tests/golden/test_*.c),\
                 $(sort $(wildcard tests/golden/*.c))))
GOLDEN_BIN  := $(if $(GOLDEN_OBJ),$(B)/tests/golden/run_golden)
BENCH_BIN   := $(patsubst %.c,$(B)/%,$(sort $(wildcard bench/bench_*.c)))
PAIR_BIN    := $(B)/bench/make_pair
FUZZ_NAMES  := $(patsubst fuzz/fuzz_%.c,%,$(sort $(wildcard fuzz/fuzz_*.c)))
REPLAY_BIN  := $(FUZZ_NAMES:%=$(B)/tests/fuzz/test_%)
FUZZ_BIN    := $(FUZZ_NAMES:%=$(B)/fuzz_%)

.PHONY: all demo test test-programs test-golden golden-program bench bench-growth fuzz fuzz-programs lint \
        install uninstall clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/libc2c.a $(B)/libc2c.so $(if $(APP_SRC),$(B)/c2c)  ## build the program and the library

# ---- How things are made ------------------------------------------------------------------------
say     = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2);)
compile = $(call say,CC,$<) mkdir -p $(@D) && $(CC) $(C2C_CPPFLAGS) $(CPPFLAGS) $(CFLAGS) \
          $(C2C_CFLAGS) -c $< -o $@
link    = $(call say,LINK,$@) mkdir -p $(@D) && $(CC) $(C2C_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^)

$(OBJ)/%.o: src/%.c Makefile
	$(compile)
$(OBJ)/tests/%.o: tests/%.c Makefile
	$(compile) -Itests
$(OBJ)/fuzz/%.o: fuzz/%.c Makefile
	$(compile)
$(OBJ)/bench/%.o: bench/%.c Makefile
	$(compile) -Itests

# Internal names stay inside the archive: only c2c_ symbols are left for others to see.
$(B)/libc2c.a: $(LIB_OBJ)
	$(call say,AR,$@) rm -f $@ && ld -r -o $(OBJ)/libc2c.o $^ && \
	  objcopy --localize-hidden $(OBJ)/libc2c.o && ar rcs $@ $(OBJ)/libc2c.o
$(B)/libc2c.so: $(LIB_OBJ)
	$(link) -shared -Wl,-soname,libc2c.so.0 $(if $(C2C_LDFLAGS),,-Wl,--no-undefined) $(C2C_LIBS)
$(B)/c2c: $(APP_OBJ) $(LIB_OBJ)
	$(link) $(C2C_APP_LIBS) $(C2C_LIBS)

$(B)/tests/golden/run_golden: $(GOLDEN_OBJ) $(TEST_HELP) $(LIB_OBJ)
	$(link) -lcmocka $(C2C_LIBS)
$(B)/tests/fuzz/test_%: $(OBJ)/fuzz/fuzz_%.o $(OBJ)/fuzz/replay.o $(LIB_OBJ)
	$(link) $(C2C_LIBS)
$(B)/tests/%: $(OBJ)/tests/%.o $(TEST_HELP) $(LIB_OBJ)
	$(link) -lcmocka $(TESTED_LIBS) $(C2C_LIBS)
# Tests of the app see its parts; main alone is left out.
$(filter $(B)/tests/app/%,$(TEST_BIN)): $(APP_PARTS)
$(filter $(B)/tests/app/%,$(TEST_BIN)): TESTED_LIBS := $(C2C_APP_LIBS)
$(filter $(B)/tests/trust/%,$(TEST_BIN)): $(MUTATE_OBJ)
# Tests and the speed table walk one table of ops.
$(filter $(B)/tests/backend/%,$(TEST_BIN)): $(OP_TABLE)
$(B)/bench/bench_ops: $(OP_TABLE)
$(PAIR_BIN): $(OBJ)/tests/support/random_pair.o
$(B)/bench/%: $(OBJ)/bench/%.o $(LIB_OBJ)
	$(link) $(C2C_LIBS)
$(B)/fuzz_%: $(OBJ)/fuzz/fuzz_%.o $(LIB_OBJ)
	$(link) -fsanitize=fuzzer $(C2C_LIBS)

# ---- What one does with them --------------------------------------------------------------------
# demo and test install what they need first, so the work is left to a second make that finds it,
# and that uses every processor unless -j says otherwise.
make_now = @$(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

demo:  ## install what is missing, build, and let the two small models of share/demo answer
	@scripts/deps build
	$(make_now) all
	@$(B)/c2c demo

test:  ## install what is missing, build and run all tests (SAN=1: under sanitizers)
	@scripts/deps build test
	$(make_now) test-programs
	@CC='$(CC)' SAN_FLAGS='$(C2C_LDFLAGS)' tests/run $(B)
# Benchmarks are built, not run: a name that changed breaks them here and now.
test-programs: all $(TEST_BIN) $(REPLAY_BIN) $(GOLDEN_BIN) $(BENCH_BIN) $(PAIR_BIN)

golden-program: $(GOLDEN_BIN)
test-golden:  ## compare with the numbers of another folder: make test-golden GOLDEN=DIR
	$(if $(GOLDEN),,$(error test-golden needs GOLDEN=DIR, a folder laid out as tests/golden/data))
	$(make_now) golden-program
	@$(B)/tests/golden/run_golden '$(GOLDEN)'

bench: $(BENCH_BIN) $(PAIR_BIN)  ## measure the speed of every op, of threads and of training
	@for program in $(BENCH_BIN); do echo "== $$program"; $$program || exit 1; done

# The demo pair up to what its context holds; PAIR=DIR (build/bench/make_pair) as far as patience goes.
PAIR_LENGTHS ?= 128 512 2048
bench-growth: $(B)/c2c  ## how cost grows with the prompt (PAIR=DIR: of that pair, too), docs/growth.svg
	@C2C=$(B)/c2c bench/growth.sh measure demo share/demo 128 512 2048 8192 32000 >$(B)/growth.txt
	$(if $(PAIR),@C2C=$(B)/c2c bench/growth.sh measure full-size '$(PAIR)' $(PAIR_LENGTHS) >>$(B)/growth.txt)
	@bench/growth.sh table $(B)/growth.txt
	@bench/growth.sh plot $(B)/growth.txt >docs/growth.svg

FUZZ_SECONDS ?= 60
fuzz:  ## feed hostile input to every parser, FUZZ_SECONDS=60 each
	@scripts/deps build tools
	$(make_now) CC=clang SAN= FUZZ=1 fuzz-programs
	@scripts/fuzz build/fuzz $(FUZZ_SECONDS)
fuzz-programs: $(FUZZ_BIN)

lint:  ## check the format and look for mistakes without running anything
	@scripts/deps tools
	@scripts/lint

install: all  ## install to PREFIX=/usr/local (DESTDIR= is put before it)
	@VERSION=$(VERSION) scripts/install '$(B)' '$(DESTDIR)' '$(PREFIX)'
uninstall:  ## remove what install put there
	@VERSION=$(VERSION) scripts/install --remove '$(DESTDIR)' '$(PREFIX)'

clean:  ## remove everything built
	rm -rf build

help:  ## this list
	@grep -hE '^[a-z-]+:.*  ## ' Makefile | sed -E 's/:.*  ## /\t/' | expand -t 14

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
