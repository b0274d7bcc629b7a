/*
 * try.c
 *		Calling what may raise an error that is not ours to raise.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "try.h"

/*
 * A cancel or a shutdown, which is for nobody to catch?
 */
bool
IsInterruption(const ErrorData *error)
{
	return error->elevel > ERROR ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

/*
 * Call a function in a subtransaction. NULL when it returned; its error, in the
 * current memory context, when it raised one; cancels and shutdowns go on. In a
 * parallel query's leader there can be no subtransaction (since 17 it can begin one,
 * and not end it where the statement writes, as CREATE TABLE AS does). The error is
 * caught all the same: what the function had acquired then waits for the end of the
 * query, so it must be something as plain as a type's input or the parser.
 */
ErrorData *
Try(void (*function) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool		subtransaction = !IsInParallelMode();
	ErrorData  *volatile error = NULL;

	if (subtransaction)
		BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		function(arg);
		if (subtransaction)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (subtransaction)
			RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (IsInterruption(error))
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}
