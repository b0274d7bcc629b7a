/*
 * milvus_brain.h
 *		Settings, and the backends by name.
 */
#ifndef MILVUS_BRAIN_H
#define MILVUS_BRAIN_H

#include "backend.h"

#define BRAIN_VERSION "0.3.0"

enum
{
	BACKEND_AUTO,				/* of the setting only: FiftyOne's default, else exact */
	BACKEND_EXACT,
	BACKEND_MILVUS
};

extern int	default_similarity_backend;

extern const Backend *FindBackend(const char *name);

#endif							/* MILVUS_BRAIN_H */
