/*
 * status.c
 *		How a call ended, as Milvus says it within a reply.
 *
 * A Status has a code since 2.3 and a legacy one from before. Servers set one of
 * them, or both: milvus-lite 3 has failures whose legacy code is 0, early 2.3 had
 * some without the other. Success is both being 0, and so is a reply without any
 * Status: proto3 does not write what is zero.
 */
#include "postgres.h"

#include "milvus/messages.h"
#include "milvus/status.h"
#include "milvus/texts.h"
#include "milvus/wire.h"

/* ---------- reading ---------- */

/*
 * The code that replaced a legacy one. milvus-lite 3 has legacy numbers of its
 * own, but never without a code.
 */
static int
CodeOfLegacy(int legacy)
{
	switch (legacy)
	{
		case 0:
			return 0;
		case 4:
			return MILVUS_COLLECTION_NOT_FOUND;
		case 5:
			return MILVUS_INVALID_PARAMETER;
		case 25:
			return MILVUS_INDEX_NOT_FOUND;
		case 48:
			return MILVUS_QUOTA_EXCEEDED;
		case 49:
			return MILVUS_RATE_LIMIT;
		case 56:
			return MILVUS_NOT_READY;
		case 62:
			return MILVUS_SCHEMA_MISMATCH;
		default:
			return MILVUS_UNEXPECTED;
	}
}

Problem
ReadStatus(const uint8 *bytes, Size length, MilvusStatus *status)
{
	WireReader	reader;
	WireField	field;

	memset(status, 0, sizeof(MilvusStatus));
	InitWireReader(&reader, bytes, length);
	while (ReadField(&reader, &field))
	{
		if (field.number == 1 && IsOfType(&reader, &field, WIRE_VARINT))
			status->legacy_code = (int) field.value;
		else if (field.number == 2 && IsOfType(&reader, &field, WIRE_BYTES))
		{
			status->reason = field.bytes;
			status->reason_length = field.length;
		}
		else if (field.number == 3 && IsOfType(&reader, &field, WIRE_VARINT))
			status->code = (int) field.value;
	}
	if (status->code == 0)
		status->code = CodeOfLegacy(status->legacy_code);
	return reader.bad ? "The status is damaged." : NULL;
}

/* ---------- failures ---------- */

/*
 * What to do about a failure of which no more is known; NULL: nothing.
 */
char *
GrpcDefaultHint(int sqlstate)
{
	const char *hint = NULL;

	switch (sqlstate)
	{
		case ERRCODE_CONNECTION_FAILURE:
			hint = _("Try again. If that fails too, look into the server's log, and at what is between, such as a proxy.");
			break;
		case ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION:
			hint = _("Check the server's address, and that Milvus runs there.");
			break;
		case ERRCODE_PROTOCOL_VIOLATION:
			hint = _("A proxy between may have changed it, or the server is of a version that milvus_brain does not know: brain.health() tells which.");
			break;
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			hint = _("Have the privilege granted to the user in Milvus, or name another in the user mapping.");
			break;
		case ERRCODE_INVALID_PASSWORD:
		case ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION:
			hint = _("Give user and password, or a token, in a user mapping of the server.");
			break;
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			hint = _("Ask for less at once, or compute with a smaller batch_bytes; or have the server's limits raised.");
			break;
		case ERRCODE_INSUFFICIENT_RESOURCES:
			hint = _("Try again later, or have the server's limits raised.");
			break;
		case ERRCODE_UNDEFINED_OBJECT:
			hint = _("Somebody may have dropped the collection: compute the run anew with overwrite => true.");
			break;
		case ERRCODE_INVALID_CATALOG_NAME:
			hint = _("The option db_name names the database.");
			break;
		case ERRCODE_FEATURE_NOT_SUPPORTED:
			hint = _("milvus_brain needs Milvus 2.3 or newer; milvus-lite lacks some calls.");
			break;
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
			hint = _("The server's log may say more.");
			break;
	}
	return hint ? pstrdup(hint) : NULL;
}

static int
SqlStateOfCode(int code)
{
	switch (code)
	{
		case MILVUS_MEMORY_LIMIT:
		case MILVUS_REQUEST_LIMIT:
		case MILVUS_DISK_LIMIT:
		case MILVUS_RATE_LIMIT:
		case MILVUS_QUOTA_EXCEEDED:
			return ERRCODE_INSUFFICIENT_RESOURCES;
		case MILVUS_COLLECTION_NOT_FOUND:
			return ERRCODE_UNDEFINED_OBJECT;
		case MILVUS_DATABASE_NOT_FOUND:
			return ERRCODE_INVALID_CATALOG_NAME;
		case MILVUS_NOT_AUTHENTICATED:
			return ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
		case MILVUS_NOT_PERMITTED:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		default:
			return ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
	}
}

/*
 * Servers answer these before they begin; any other code may come from the
 * middle, such as the unexpected one for a deadline.
 */
static bool
IsRefusal(int code)
{
	switch (code)
	{
		case MILVUS_REQUEST_LIMIT:
		case MILVUS_RATE_LIMIT:
		case MILVUS_QUOTA_EXCEEDED:
		case MILVUS_COLLECTION_NOT_FOUND:
		case MILVUS_COLLECTION_NOT_LOADED:
		case MILVUS_DATABASE_NOT_FOUND:
		case MILVUS_INDEX_NOT_FOUND:
		case MILVUS_INVALID_PARAMETER:
		case MILVUS_NOT_AUTHENTICATED:
		case MILVUS_NOT_PERMITTED:
			return true;
		default:
			return false;
	}
}

/*
 * Of a reply that came: NULL when it can be read and says that all is done.
 */
GrpcFailure *
ReplyFailure(const GrpcConnection *c, const char *method, Problem problem, const MilvusStatus *status)
{
	GrpcFailure *failure;

	if (problem == NULL && status->code == 0)
		return NULL;
	failure = palloc0(sizeof(GrpcFailure));
	if (problem != NULL)
	{
		failure->sqlstate = ERRCODE_PROTOCOL_VIOLATION;
		failure->maybe_done = true;
		failure->message = psprintf(_("Milvus server \"%s\" sent a reply that cannot be read"), GrpcNameOf(c));
		failure->detail = psprintf("%s: %s", method, problem);
		failure->hint = GrpcDefaultHint(failure->sqlstate);
		return failure;
	}
	failure->sqlstate = SqlStateOfCode(status->code);
	failure->milvus_code = status->code;
	failure->maybe_done = !IsRefusal(status->code);
	failure->message = psprintf(_("Milvus server \"%s\" failed at %s"), GrpcNameOf(c), method);
	failure->detail = psprintf("%s (code %d)",
							   WordsFromServer(status->reason, status->reason_length), status->code);
	failure->hint = GrpcDefaultHint(failure->sqlstate);
	return failure;
}
