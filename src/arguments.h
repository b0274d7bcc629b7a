/*
 * arguments.h
 *		Unpacking the arguments of SQL functions.
 */
#ifndef BRAIN_ARGUMENTS_H
#define BRAIN_ARGUMENTS_H

#include "fmgr.h"

extern void RequireArgument(FunctionCallInfo fcinfo, int n, const char *name);
extern char *TextArgument(FunctionCallInfo fcinfo, int n);
extern bool BoolArgument(FunctionCallInfo fcinfo, int n, bool if_null);
extern void CheckNoOptions(FunctionCallInfo fcinfo, int n);

#endif							/* BRAIN_ARGUMENTS_H */
