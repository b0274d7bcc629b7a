/*
 * arguments.h
 *		Unpacking the arguments of SQL functions.
 */
#ifndef BRAIN_ARGUMENTS_H
#define BRAIN_ARGUMENTS_H

#include "fmgr.h"
#include "utils/jsonb.h"

extern void RequireArgument(FunctionCallInfo fcinfo, int n, const char *name);
extern char *TextArgument(FunctionCallInfo fcinfo, int n);
extern bool BoolArgument(FunctionCallInfo fcinfo, int n, bool if_null);
extern Jsonb *JsonbArgument(FunctionCallInfo fcinfo, int n);
extern void CheckNoOptions(const Jsonb *options);

#endif							/* BRAIN_ARGUMENTS_H */
