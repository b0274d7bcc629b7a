# milvus_brain: similarity search over your own samples, as FiftyOne's brain runs

EXTENSION = milvus_brain
DATA = $(wildcard milvus_brain--*.sql)
MODULE_big = milvus_brain
OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c src/*/*.c))
PGFILEDESC = "milvus_brain - similarity search over samples"

REGRESS = $(patsubst sql/%.sql,%,$(wildcard sql/*.sql))
REGRESS_OPTS = --encoding=UTF8

# Bit-equal distances on every processor: a fused multiply-add would round the
# differences of the Euclidean distance once instead of twice.
PG_CFLAGS = -ffp-contract=off -O3
SHLIB_LINK = -lm

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
