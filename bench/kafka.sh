#!/usr/bin/env bash
# Lua batches against plain C over librdkafka, on the stack that runs (or that is started).
set -eu
exec ./rlab lua bench/kafka.lua "${BUILD:-build}/bench/kafka"
