# milvus_brain: similarity search over your own samples, as FiftyOne's brain runs

EXTENSION = milvus_brain
DATA = $(wildcard milvus_brain--*.sql)
MODULE_big = milvus_brain
OBJS = $(sort $(patsubst %.c,%.o,$(wildcard src/*.c src/*/*.c)) src/milvus/milvus.pb-c.o)
PGFILEDESC = "milvus_brain - similarity search over samples"

# tests/README.md says which tests need what some servers lack.
REGRESS = $(filter-out $(foreach need,$(LACKS),$(call needing,$(need))), \
	$(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS_OPTS = --encoding=UTF8

LACKS = $(foreach extension,citext postgres_fdw,$(if $(call has,$(extension)),,$(extension))) \
	$(if $(call has,vector),,pgvector) $(if $(filter yes,$(with_icu)),,ICU)
has = $(wildcard $(datadir)/extension/$(1).control)
needing = $(shell sed -n 's/^| `sql\/\(.*\)` *| $(1) .*/\1/p' tests/README.md)

# Bit-equal distances on every processor: a fused multiply-add would round the
# differences of the Euclidean distance once instead of twice.
PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -ffp-contract=off -O3
SHLIB_LINK = -lm -pthread -lprotobuf-c
EXTRA_CLEAN = $(MESSAGES)

# By protobuf-c's compiler, from milvus.proto
MESSAGES = src/milvus/milvus.pb-c.c src/milvus/milvus.pb-c.h
PROTOC_C ?= protoc-c

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h src/*/*.h) $(MESSAGES)

%.pb-c.c %.pb-c.h: %.proto
	$(PROTOC_C) --proto_path=$(<D) --c_out=$(<D) $<

.PHONY: lacks
lacks:
	@echo $(LACKS)
