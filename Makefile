# rlab. `make help` lists the targets. BUILD= keeps variants apart: build (the default), build-asan, ...
# The flags of foreign libraries come from $(BUILD)/deps.mk, which deps/libs.sh writes once.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

# What a variant adds; `make BUILD=build-asan` builds it.
VARIANT := $(patsubst build-%,%,$(filter build-%,$(BUILD)))
FLAGS_debug := -O0 -DRL_ASSERTS
FLAGS_asan := -O1 -DRL_ASSERTS -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FLAGS_apicheck := -DRL_ASSERTS
FLAGS_oracle := -DRL_ASSERTS
FLAGS_tsan := -O1 -DRL_ASSERTS -fsanitize=thread
FLAGS_fuzz := -O1 -DRL_ASSERTS -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
RLAB := $(if $(filter build,$(BUILD)),rlab,$(BUILD)/rlab)
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef
# Not among the recorded flags: a mutant is allowed its warnings and shares the objects of the tree.
WERROR := $(if $(filter true,$(CI)),-Werror)
CFLAGS ?=
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -g -O2 $(FLAGS_$(VARIANT)) $(WARNINGS) -Iengine $(LUA_CFLAGS) $(DEP_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -Wl,-E -Wl,--exclude-libs,librdkafka.a:libhiredis.a:libhdrhistogram.a $(FLAGS_$(VARIANT)) $(LDFLAGS)
ALL_LIBS = $(LUA_LIBS) $(DEP_LIBS)

# These need no flags, or get them from a make of their own.
quiet-goals := help clean deps servers usual-servers libs program deploy install-pages install-files packages-lint registry observe demo test test-fast test-live test-console test-observe test-secure test-secure-all test-drivers clients mutants asan tsan tsan-live apicheck oracle fuzz hostile schemathesis soak-console hunt-mutants lint k8s-lint format licences sbom
ifneq ($(if $(MAKECMDGOALS),$(filter-out $(quiet-goals),$(MAKECMDGOALS)),all),)
include $(BUILD)/deps.mk
endif

SRC := $(sort $(shell find engine -name '*.c' 2>/dev/null))
OBJ := $(SRC:engine/%.c=$(BUILD)/obj/%.o)
TEMPLATES := $(addprefix docs/bring-your-own/,$(addprefix go/,go.mod go.sum run.sh consumer/main.go) \
                 $(addprefix node/,package.json package-lock.json run.sh consumer.js) \
                 $(addprefix java/,run.sh AccountConsumer.java) python/consumer.py)
EMBED := $(sort $(shell find lua experiments docs/experiments migrations -type f -name '[!.]*' \
           \( -name '*.lua' -o -path 'docs/experiments/*.md' -o -path 'migrations/*.sql' \
              -o -path 'lua/rlab/*/assets/*' \) 2>/dev/null)) \
         deploy/kafka/jmx.yml deploy/prometheus/rules.yml deps/pins.sh deps/kafka.lock deps/flyway.lock $(TEMPLATES) $(wildcard /usr/share/lua/5.4/argparse.lua)
TEST_SRC := $(sort $(wildcard spec/unit/c/*/test_*.c))
FUZZ_TARGETS := $(sort $(basename $(notdir $(wildcard spec/fuzz/*.c))))
TESTS := $(patsubst %.c,$(BUILD)/test/%,$(notdir $(TEST_SRC))) $(FUZZ_TARGETS:%=$(BUILD)/test/fuzz_%)
vpath test_%.c $(sort $(dir $(TEST_SRC)))

.PHONY: all tests fuzzers $(quiet-goals) soak shards matrix conformance examples bench install deb FORCE
all: $(RLAB) ## build ./rlab (what is missing is fetched by make deps)

# `make deps all` asks for the flags before its first goal: the packages that tell them come first here too.
$(BUILD)/deps.mk: deps/libs.sh deps/source.sh deps/lib.sh deps/pins.sh $(DEP_FILES)
	@$(if $(filter deps,$(MAKECMDGOALS)),deps/packages.sh && )deps/libs.sh $@ $(VARIANT)
$(DEP_FILES):

$(RLAB): $(OBJ) $(BUILD)/obj/embed.o $(BUILD)/link.list
	@echo "  link    $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $(OBJ) $(BUILD)/obj/embed.o $(ALL_LIBS)

$(BUILD)/obj/%.o: engine/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  cc      $<"
	@$(CC) $(ALL_CFLAGS) $(WERROR) -MMD -MP -c -o $@ $<

# `rlab --version --verbose` tells its flags, but for those that say where this machine keeps its libraries.
TOLD_FLAGS := $(strip -std=c11 -g -O2 $(FLAGS_$(VARIANT)) $(CFLAGS))
$(BUILD)/obj/bind/host/libraries.o: ALL_CFLAGS += -DRL_FLAGS='"$(TOLD_FLAGS)"'

$(BUILD)/obj/embed.o: $(BUILD)/embed.c $(BUILD)/flags
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) $(WERROR) -c -o $@ $<

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
$(BUILD)/test/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  cc      $<"
	@$(CC) $(ALL_CFLAGS) $(WERROR) -Ispec/support/c -MMD -MP -c -o $@ $<
.PRECIOUS: $(BUILD)/test/%.o
# A fuzz target as a unit test: its seeds, tried without libFuzzer.
$(BUILD)/test/fuzz_%: $(BUILD)/test/fuzz_%.o $(BUILD)/test/replay.o $(OBJ) $(BUILD)/obj/embed.o
	@$(CC) $(ALL_LDFLAGS) -o $@ $< $(BUILD)/test/replay.o $(filter-out $(BUILD)/obj/main.o,$(OBJ)) $(BUILD)/obj/embed.o $(ALL_LIBS) $(TEST_LIBS)
$(BUILD)/test/fuzz_%.o: spec/fuzz/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  cc      $<"
	@$(CC) $(ALL_CFLAGS) $(WERROR) -Ispec/support/c -MMD -MP -c -o $@ $<
$(BUILD)/test/replay.o: spec/fuzz/replay/replay.c spec/fuzz/fuzz.h spec/support/c/turned.h $(BUILD)/flags
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) $(WERROR) -Ispec/fuzz -Ispec/support/c -c -o $@ $<
$(BUILD)/fixture/%: spec/fixtures/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) $(WERROR) -o $@ $< $(ALL_LIBS)
$(BUILD)/fuzz/%: spec/fuzz/%.c $(OBJ) $(BUILD)/obj/embed.o
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) $(WERROR) -Ispec/support/c -fsanitize=fuzzer -o $@ $< $(filter-out $(BUILD)/obj/main.o,$(OBJ)) $(BUILD)/obj/embed.o $(ALL_LDFLAGS) $(ALL_LIBS) $(TEST_LIBS)
fuzzers: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)
$(BUILD)/hostile/%: spec/hostile/%.c spec/support/c/proxy_samples.h spec/support/c/turned.h $(OBJ) $(BUILD)/obj/embed.o
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) $(WERROR) -Ispec/support/c -o $@ $< $(filter-out $(BUILD)/obj/main.o,$(OBJ)) $(BUILD)/obj/embed.o $(ALL_LDFLAGS) $(ALL_LIBS)
-include $(OBJ:.o=.d) $(TESTS:=.d)

tests: $(TESTS)

# The servers are fetched while the compiler works: one job more than cores, as a fetch waits most of its time.
together = RLAB_TOGETHER=1 $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(($$(nproc) + 1)))

deps: ## fetch and build what is missing: packages, C libraries, Kafka, Flyway, MySQL, Valkey
	@deps/packages.sh
	@$(together) servers libs
libs:
	@$(MAKE) --no-print-directory -s $(BUILD)/deps.mk
program: libs
	@$(MAKE) --no-print-directory all
servers: usual-servers
	@deps/valkey.sh || echo "  note    no Valkey, so the arm of E-010 that needs it is not run"

usual-servers:
	@deps/kafka.sh
	@deps/flyway.sh
	@deps/mysql.sh

registry: ## fetch the Schema Registry, which `rlab up registry` runs
	@deps/registry.sh

observe: ## fetch Prometheus and its exporters: tests try the rules with its promtool
	@deps/prometheus.sh || echo "  note    no Prometheus, so the rules are not tried"

demo: ## run E-012 on real servers and show the verdict
	@deps/packages.sh
	@$(together) usual-servers program
	@./rlab E-012

test: deps registry observe ## everything that passes or fails: unit, asan, apicheck, lint, live, five mutants
	@deps/test.sh unit asan apicheck lint live drawn
test-fast: ## the tests that need no servers
	@deps/test.sh unit asan apicheck lint
test-observe: observe ## the queries of all dashboards, asked of a Prometheus that watches E-001 on a stack of its own
	@deps/test.sh observe
test-secure: ## what rlab can do with exactly the documented rights, on a stack with TLS, users and ACLs
	@deps/test.sh secure
test-secure-all: ## the same with every experiment that an external stack does not refuse: some ten minutes
	@RLAB_SECURE_ALL=1 deps/test.sh secure
test-drivers: ## fault drivers of an external stack, tried on a stack of its own that is treated as somebody's
	@deps/test.sh drivers
test-live: ## the tests on a stack of their own
	@deps/test.sh live
test-console: ## the console in Chromium on a stack of its own (fetches what is missing); SHOTS=folder keeps pictures
	@RLAB_SHOTS=$(SHOTS) spec/browser/browser.sh deps/test.sh console
mutants: ## break each mechanism, one at a time: is it named by the right word? ONE=id, MUTANTS="--group relay", JOBS=2
	@MUTANTS="$(ONE) $(MUTANTS)" deps/test.sh mutants
asan: ## the unit tests under AddressSanitizer and UBSan
	@deps/test.sh asan
tsan: ## the unit tests under ThreadSanitizer
	@deps/test.sh tsan
tsan-live: ## the services under ThreadSanitizer, on a stack of their own
	@deps/test.sh tsan-live
apicheck: ## the Lua unit tests on a Lua that checks how its C API is used
	@deps/test.sh apicheck
oracle: ## the unit and MySQL tests on Oracle's client library (fetched from Debian sid)
	@deps/test.sh oracle
fuzz: ## all parsers of foreign bytes under libFuzzer (needs clang), SECONDS=60 each
	@deps/fuzz.sh $(or $(SECONDS),60)
schemathesis: ## ask running services what docs/openapi says of them: SERVICES="command=http://127.0.0.1:18080 ..." EXAMPLES=100 SEED=7
	@deps/schemathesis.sh
hostile: ## services and proxy under ASan and UBSan, given 4,000 mutated captures (COUNT, SEED; SERVERS=no: without a stack)
	@spec/hostile/hostile.sh
soak: all ## experiments on a disturbed machine, services under kills and freezes, hunts, in turn: HOURS=2 or MINUTES=8 (SEED, PARTS, ...)
	@spec/soak/soak.sh
hunt-mutants: ## hunts of right arms while a mechanism is broken, COUNT=10 of the mutants drawn by SEED=1, BUDGET=60s each
	@deps/test.sh hunt-mutants
clients: ## build the client programs of clients/ (needs Go)
	@clients/build.sh
matrix: all ## E-028 for librdkafka, sarama, franz-go and Java, at transaction.version 2 and 1
	@clients/build.sh || true
	@./rlab run clients/endtxn.lua
conformance: all ## one application on librdkafka, Java, franz-go and sarama under ten stories: docs/findings/conformance.md
	@deps/python.sh >/dev/null || true
	@clients/build.sh || true
	@./rlab run clients/conformance.lua
examples: all ## the Go and Node examples of docs/bring-your-own, each where its tools are
	@docs/bring-your-own/examples.sh
shards: all ## eight experiments as 4 shards on 4 stacks of their own, merged: each arm as in one piece? AT_ONCE=2, EXPERIMENTS="...", SEED=7
	@spec/live/shards.sh
soak-console: ## the console in Chromium at 2,000 topics, 10,000 groups and records of a megabyte; prints what it took
	@spec/browser/browser.sh deps/test.sh many
lint: ## luacheck, clang-format and the rules of the house
	@deps/test.sh lint
k8s-lint: ## hold deploy/k8s against Kubernetes' schemas (fetches kubernetes-validate)
	@deps/lint/k8s.sh
format: ## format the C sources in place
	@clang-format -i $$(git ls-files engine spec/unit/c spec/fuzz spec/hostile bench | grep '\.[ch]$$')
licences: ## write THIRD-PARTY.md anew
	@deps/bill/licences.sh
deploy: ## write anew what deploy/ has of lua/rlab/stack/settings.lua
	@lua5.4 deploy/write.lua
packages-lint: ## mandoc, the shells, ruby and lintian on what install and deb put on a machine (fetches the tools)
	@deps/packages.sh package
	@deps/test.sh packages
deb: all ## write build/rlab_VERSION_ARCH.deb
	@deps/package/deb.sh build
sbom: ## write build/sbom.cdx.json, a CycloneDX bill of materials, from what deps/ pins and dpkg says
	@mkdir -p build && lua5.4 deps/bill/sbom.lua build/sbom.cdx.json && echo "  wrote   build/sbom.cdx.json"

BENCH := $(patsubst bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard bench/*.c)))
bench: all $(BENCH) ## our figures beside the peers'
	@./$(RLAB) bench --peers $(BUILD)/bench $(ARGS)
$(BUILD)/bench/%: bench/%.c bench/peer.h $(OBJ) $(BUILD)/obj/embed.o
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) $(WERROR) -o $@ $< $(filter-out $(BUILD)/obj/main.o,$(OBJ)) $(BUILD)/obj/embed.o $(ALL_LDFLAGS) $(ALL_LIBS)

# The pages lie as they do in the tree, so that their links lead somewhere.
PAGES := README.md README.ko.md LICENSE THIRD-PARTY.md $(sort $(shell find docs experiments deploy -type f -name '[!.]*'))
SHARE = $(DESTDIR)$(PREFIX)/share
install-pages:
	install -d $(SHARE)/doc/rlab
	@cp --parents $(PAGES) $(SHARE)/doc/rlab && chmod -R u=rwX,go=rX $(SHARE)/doc/rlab

# What `rlab experiments --path` and `rlab fetch` find beside the program.
BESIDE := $(sort $(wildcard experiments/*.lua)) $(addprefix deps/,lib.sh pins.sh packages.sh apt.sh sid.sh maven.sh kafka.sh kafka.lock \
    flyway.sh flyway.lock flyway/Migrate.java mysql.sh valkey.sh registry.sh prometheus.sh)
install-files: install-pages
	install -d $(SHARE)/rlab
	@cp --parents $(BESIDE) $(SHARE)/rlab && chmod -R u=rwX,go=rX $(SHARE)/rlab

ZSH_COMPLETION ?= zsh/site-functions
install: all install-files ## install into PREFIX (default /usr/local); DESTDIR is respected
	install -D -m 755 rlab $(DESTDIR)$(PREFIX)/bin/rlab
	install -d $(SHARE)/man/man1 $(SHARE)/bash-completion/completions $(SHARE)/$(ZSH_COMPLETION) $(SHARE)/fish/vendor_completions.d
	./rlab man >$(SHARE)/man/man1/rlab.1
	./rlab completion bash >$(SHARE)/bash-completion/completions/rlab
	./rlab completion zsh >$(SHARE)/$(ZSH_COMPLETION)/_rlab
	./rlab completion fish >$(SHARE)/fish/vendor_completions.d/rlab.fish

compile_commands.json: $(BUILD)/flags $(BUILD)/link.list ## for editors
	@{ echo '['; for f in $(SRC); do printf '%s{"directory":"%s","file":"%s","command":"%s"}\n' "$$comma" \
	    "$(CURDIR)" "$$f" '$(subst ",\",$(CC) $(ALL_CFLAGS)) -c '"$$f"; comma=,; done; echo ']'; } >$@

clean: ## remove what was built here (the cache of downloads stays)
	rm -rf build build-* rlab compile_commands.json

help: ## this list
	@awk -F ':.*## ' '/^[a-z_.-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' Makefile
