/*
 * attach.h
 *		Runs on collections that were there before, whose vectors PostgreSQL does not
 *		have.
 */
#ifndef BRAIN_ATTACH_H
#define BRAIN_ATTACH_H

#include "backend.h"
#include "milvus/collection.h"

extern bool AttachCollection(Run *run, CollectionConfig *config, const BackendArguments *arguments,
							 const char *key_field, const char *vector_field);

/* The vectors of an attached collection, by sample id. */
typedef struct AttachedVectors AttachedVectors;

extern AttachedVectors *OpenAttachedVectors(const Run *run);
extern void FetchAttachedVectors(AttachedVectors *vectors, char **ids, int n);
extern bool FindAttachedVector(AttachedVectors *vectors, const char *id, VectorBuffer *buffer);

#endif							/* BRAIN_ATTACH_H */
