# c2c: make, make demo, make test, make help. Variants (SAN=1, CC=clang) build beside each other.

VERSION := 0.1.0
PREFIX  ?= /usr/local
CC      ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif

# ---- Variant: the release program is build/c2c, everything else lives in build/<variant>/ ----
VARIANT := $(strip $(if $(findstring clang,$(CC)),clang) $(if $(SAN),san))
empty :=
VARIANT := $(subst $(empty) $(empty),-,$(VARIANT))
B   := build$(if $(VARIANT),/$(VARIANT))
OBJ := $(B)/obj

LIBS     := libpcre2-8 libutf8proc yajl
CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Werror
CPPFLAGS += -Iinclude -Isrc -DC2C_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(LIBS))
C2C_CFLAGS := -std=c11 -D_POSIX_C_SOURCE=200809L -fPIC -fvisibility=hidden -pthread $(WARNINGS) -MMD -MP
LDLIBS   += $(shell pkg-config --libs $(LIBS)) -lm -pthread
ifdef SAN
C2C_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif

LIB_SRC := $(filter-out src/app/%,$(sort $(wildcard src/*/*.c src/*/*/*.c)))
APP_SRC := $(sort $(wildcard src/app/*.c))
LIB_OBJ := $(LIB_SRC:src/%.c=$(OBJ)/%.o)
APP_OBJ := $(APP_SRC:src/%.c=$(OBJ)/%.o)

# The CPU kernels are compiled once per instruction set and chosen at run time.
ifneq ($(filter x86_64%,$(shell $(CC) -dumpmachine)),)
$(OBJ)/backend/cpu/%_avx512.o: C2C_CFLAGS += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c
$(OBJ)/backend/cpu/%_avx2.o: C2C_CFLAGS += -mavx2 -mfma -mf16c
endif
$(OBJ)/backend/cpu/%.o: C2C_CFLAGS += -O3 -fno-math-errno -ffp-contract=fast

TEST_SRC  := $(sort $(wildcard tests/*/test_*.c))
TEST_BIN  := $(TEST_SRC:tests/%.c=$(B)/tests/%)
TEST_HELP := $(patsubst tests/%.c,$(OBJ)/tests/%.o,$(sort $(wildcard tests/support/*.c)))

.PHONY: all test clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/libc2c.a $(B)/libc2c.so $(if $(APP_SRC),$(B)/c2c)  ## build the program and the library

$(OBJ)/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(C2C_CFLAGS) -c $< -o $@

$(OBJ)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(C2C_CFLAGS) -c $< -o $@

# Internal names stay inside the archive: only c2c_ symbols are left for others to see.
$(B)/libc2c.a: $(LIB_OBJ)
	@rm -f $@
	ld -r -o $(OBJ)/libc2c.o $^
	objcopy --localize-hidden $(OBJ)/libc2c.o
	ar rcs $@ $(OBJ)/libc2c.o

$(B)/libc2c.so: $(LIB_OBJ)
	$(CC) $(LDFLAGS) -shared -Wl,-soname,libc2c.so.0 -Wl,--no-undefined -o $@ $^ $(LDLIBS)

$(B)/c2c: $(APP_OBJ) $(LIB_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/tests/%: $(OBJ)/tests/%.o $(TEST_HELP) $(LIB_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

test: all $(TEST_BIN)  ## build and run all tests
	tests/run $(B)

clean:  ## remove everything built
	rm -rf build

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
