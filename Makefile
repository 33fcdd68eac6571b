# rlab. `make help` lists the targets. BUILD= keeps variants apart: build (the default), build-asan, ...
# The flags of foreign libraries come from $(BUILD)/deps.mk, which deps/libs.sh writes once.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

RLAB := $(if $(filter build,$(BUILD)),rlab,$(BUILD)/rlab)
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef $(if $(filter true,$(CI)),-Werror)
OPTIMIZE ?= -O2
CFLAGS ?=
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -g $(OPTIMIZE) $(WARNINGS) $(VARIANT_FLAGS) -Iengine $(LUA_CFLAGS) $(DEP_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -Wl,-E $(VARIANT_FLAGS) $(LDFLAGS)
ALL_LIBS = $(LUA_LIBS) $(DEP_LIBS)

quiet-goals := help clean deps
ifneq ($(if $(MAKECMDGOALS),$(filter-out $(quiet-goals),$(MAKECMDGOALS)),all),)
include $(BUILD)/deps.mk
endif

SRC := $(sort $(shell find engine -name '*.c' 2>/dev/null))
OBJ := $(SRC:engine/%.c=$(BUILD)/obj/%.o)
EMBED := $(sort $(shell find lua experiments migrations -type f -name '[!.]*' \
           \( -name '*.lua' -o -path 'migrations/*.sql' -o -path 'lua/rlab/report/assets/*' \) 2>/dev/null)) \
         deps/pins.sh $(wildcard /usr/share/lua/5.4/argparse.lua)
TESTS := $(patsubst spec/unit/c/%.c,$(BUILD)/test/%,$(sort $(wildcard spec/unit/c/test_*.c)))

.PHONY: all deps clean help FORCE
all: $(RLAB) ## build ./rlab (what is missing is fetched by make deps)

$(BUILD)/deps.mk: deps/libs.sh deps/source.sh deps/lib.sh deps/pins.sh $(DEP_FILES)
	@deps/libs.sh $@
$(DEP_FILES):

$(RLAB): $(OBJ) $(BUILD)/obj/embed.o $(BUILD)/link.list
	@echo "  link    $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $(OBJ) $(BUILD)/obj/embed.o $(ALL_LIBS)

$(BUILD)/obj/%.o: engine/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  cc      $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/embed.o: $(BUILD)/embed.c $(BUILD)/flags
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/embed.c: deps/embed.lua $(EMBED) $(BUILD)/embed.list
	@echo "  embed   $(words $(EMBED)) files"
	@lua5.4 deps/embed.lua $@ $(EMBED)

# These change only when what they record does, so that a removed file or a new flag is noticed.
record = mkdir -p $(@D) && printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' >$@
$(BUILD)/flags: FORCE
	@$(call record,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(ALL_LIBS))
$(BUILD)/link.list: FORCE
	@$(call record,$(OBJ))
$(BUILD)/embed.list: FORCE
	@$(call record,$(EMBED))

$(BUILD)/test/%: $(BUILD)/test/%.o $(OBJ) $(BUILD)/obj/embed.o
	@$(CC) $(ALL_LDFLAGS) -o $@ $< $(filter-out $(BUILD)/obj/main.o,$(OBJ)) $(BUILD)/obj/embed.o $(ALL_LIBS) $(TEST_LIBS)
$(BUILD)/test/%.o: spec/unit/c/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  cc      $<"
	@$(CC) $(ALL_CFLAGS) -Ispec/unit/c -MMD -MP -c -o $@ $<
.PRECIOUS: $(BUILD)/test/%.o
-include $(OBJ:.o=.d) $(TESTS:=.d)

deps: ## fetch and build everything that is missing: packages, C libraries, Kafka, MySQL
	@deps/packages.sh
	@$(MAKE) --no-print-directory -s $(BUILD)/deps.mk
	@deps/kafka.sh
	@deps/mysql.sh

clean: ## remove what was built here (the cache of downloads stays)
	rm -rf build build-* rlab compile_commands.json

help: ## this list
	@awk -F ':.*## ' '/^[a-z_.-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(sort Makefile $(wildcard deps/*.mk))
