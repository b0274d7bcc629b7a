/* memutils.h: see postgres.h */
