/* pqsignal.h: see postgres.h */
