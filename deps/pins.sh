# The one home of versions and checksums. KEY=VALUE lines only: sourced by the scripts here,
# included by make, embedded into rlab and parsed there. *_KB is the download's size, for people.

LIBRDKAFKA_VERSION=2.15.1
LIBRDKAFKA_MIN=2.13.2
LIBRDKAFKA_NPM=@confluentinc/kafka-javascript@1.10.1
LIBRDKAFKA_SHA256=ada7d703bb1d3237e2292bfabf438d663b6160c9f1ac2a2406b5dc4257c81b66
LIBRDKAFKA_KB=2706

HIREDIS_VERSION=1.5.0
HIREDIS_MIN=1.0.0
HIREDIS_PIP=hiredis==3.5.0
HIREDIS_SHA256=c227592cc56b7df247abe4755c26723965be68972be2149fa441ac33d82131ba
HIREDIS_KB=140

HDRHISTOGRAM_VERSION=1.0.0
HDRHISTOGRAM_MIN=0.11.0
HDRHISTOGRAM_NPM=native-hdr-histogram@1.0.0
HDRHISTOGRAM_SHA256=eb6feca66739e670eac90d41fbbe69a6eb084491f3e7cf8556d31ac651c1d600
HDRHISTOGRAM_KB=1050
