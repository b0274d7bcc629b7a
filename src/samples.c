/*
 * samples.c
 *		A dataset: what can be one, its key and its embeddings.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#endif
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "samples.h"
#include "try.h"

void
RaiseProblem(const Problem *problem)
{
	ereport(ERROR,
			(errcode(problem->sqlstate),
			 errmsg_internal("%s", problem->message),
			 problem->hint ? errhint("%s", problem->hint) : 0));
}

/*
 * A problem with a message that was made for it, and a hint or NULL.
 */
Problem *
MakeProblem(int sqlstate, char *message, const char *hint)
{
	Problem    *problem = palloc(sizeof(Problem));

	problem->sqlstate = sqlstate;
	problem->message = message;
	problem->hint = hint ? pstrdup(hint) : NULL;
	return problem;
}

/* ---------- what can be a dataset ---------- */

/*
 * Tables have indexes and NOT NULL, which prove their key; views, materialised
 * views and foreign tables are believed.
 */
bool
DatasetIsTable(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION ||
		rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
}

static bool
IsSystemDataset(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);

	return RelationGetNamespace(rel) == PG_CATALOG_NAMESPACE ||
		RelationGetNamespace(rel) == get_namespace_oid("information_schema", true) ||
		getExtensionOfObject(RelationRelationId, relid) == get_extension_oid("milvus_brain", false);
}

/*
 * Why a relation cannot be a dataset; NULL when it can.
 */
Problem *
CheckDataset(Relation rel)
{
	const char *name = RelationGetRelationName(rel);

	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_FOREIGN_TABLE:
		case RELKIND_MATVIEW:
		case RELKIND_VIEW:
			break;
		default:
			return MakeProblem(ERRCODE_WRONG_OBJECT_TYPE,
							   psprintf(_("\"%s\" is not a table or view"), name), NULL);
	}
	if (IsSystemDataset(rel))
		return MakeProblem(ERRCODE_FEATURE_NOT_SUPPORTED,
						   psprintf(_("\"%s\" is a system table"), name),
						   _("Datasets are your own tables. Copy what you need into one."));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		return MakeProblem(ERRCODE_FEATURE_NOT_SUPPORTED,
						   psprintf(_("\"%s\" is a temporary table"), name),
						   _("A brain run outlives the session. Use a permanent or an unlogged table."));
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE &&
		rel->rd_rel->relhassubclass && has_subclass(RelationGetRelid(rel)) &&
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		return MakeProblem(ERRCODE_FEATURE_NOT_SUPPORTED,
						   psprintf(_("table \"%s\" has inheritance children"), name),
						   _("Their rows are not covered by its unique indexes. Use a partitioned table, or a view over the tables."));
	return NULL;
}

AttrNumber
ColumnNumber(Relation rel, const char *name)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), name);

	return attno > 0 ? attno : InvalidAttrNumber;
}

/*
 * The column of a unique index that is on one column alone and holds for all
 * rows at any moment; 0 for other indexes.
 */
static AttrNumber
PlainUniqueIndexColumn(Oid index_oid, bool primary_only)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index_oid));
	Form_pg_index index;
	AttrNumber	attno = InvalidAttrNumber;

	if (!HeapTupleIsValid(tuple))
		return InvalidAttrNumber;
	index = (Form_pg_index) GETSTRUCT(tuple);
	if (index->indisunique && index->indimmediate && index->indisvalid &&
		index->indnkeyatts == 1 && index->indkey.values[0] > 0 &&
		(index->indisprimary || !primary_only) &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL))
		attno = index->indkey.values[0];
	ReleaseSysCache(tuple);
	return attno;
}

static bool
HasPlainUniqueIndex(Relation rel, AttrNumber attno)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, indexes)
		found |= PlainUniqueIndexColumn(lfirst_oid(lc), false) == attno;
	list_free(indexes);
	return found;
}

/*
 * The column of a single-column primary key; 0 when there is none.
 */
AttrNumber
PrimaryKeyColumn(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	AttrNumber	attno = InvalidAttrNumber;
	ListCell   *lc;

	foreach(lc, indexes)
		attno = Max(attno, PlainUniqueIndexColumn(lfirst_oid(lc), true));
	list_free(indexes);
	return attno;
}

/*
 * The equality operator by which ids are looked up; 0 when the type has none.
 */
static Oid
KeyEqualityOperator(Oid type)
{
	return lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
}

static char *
QualifiedName(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

/*
 * Can a type's values be ids?
 */
bool
CanBeKey(Oid type)
{
	type = getBaseType(type);
	return OidIsValid(KeyEqualityOperator(type)) && OidIsValid(get_array_type(type)) &&
		get_typtype(type) != TYPTYPE_COMPOSITE;
}

/*
 * Why a column cannot be the dataset's key; NULL when it can.
 */
Problem *
CheckKeyColumn(Relation rel, AttrNumber attno)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	const char *column = NameStr(attribute->attname);
	const char *table = DatasetName(RelationGetRelid(rel));
	Oid			type = getBaseType(attribute->atttypid);

	if (!CanBeKey(type))
		return MakeProblem(ERRCODE_UNDEFINED_FUNCTION,
						   psprintf(_("column \"%s\" of type %s cannot be a key"),
									column, format_type_be(type)),
						   _("Arrays, rows and types without an equality operator are none. A view can give their text."));
	if (!DatasetIsTable(rel))
		return NULL;
	if (!attribute->attnotnull)
		return MakeProblem(ERRCODE_INVALID_TABLE_DEFINITION,
						   psprintf(_("key column \"%s\" of \"%s\" is not NOT NULL"),
									column, table),
						   psprintf(_("Run: ALTER TABLE %s ALTER COLUMN %s SET NOT NULL."),
									QualifiedName(rel),
									quote_identifier(column)));
	if (!HasPlainUniqueIndex(rel, attno))
		return MakeProblem(ERRCODE_INVALID_TABLE_DEFINITION,
						   psprintf(_("key column \"%s\" of \"%s\" has no unique index of its own"),
									column, table),
						   _("The index must be valid, on that column alone, without WHERE and not deferrable."));
	return NULL;
}

/*
 * Why a column cannot hold embeddings; NULL when it can.
 */
Problem *
CheckEmbeddingsColumn(Relation rel, AttrNumber attno)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	VectorFormat format;

	if (VectorFormatOfType(attribute->atttypid, &format))
		return NULL;
	return MakeProblem(ERRCODE_DATATYPE_MISMATCH,
					   psprintf(_("column \"%s\" of type %s cannot hold embeddings"),
								NameStr(attribute->attname),
								format_type_be(attribute->atttypid)),
					   _("Embeddings are real[], double precision[], numeric[], integer arrays, or pgvector's vector and halfvec."));
}

/*
 * The columns that compute_similarity() may choose from when none is named:
 * those of floating-point vectors, or without any, those of other numbers. A
 * list of attribute numbers.
 */
List *
CandidateEmbeddingsColumns(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *floats = NIL;
	List	   *others = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		VectorFormat format;

		if (attribute->attisdropped || !VectorFormatOfType(attribute->atttypid, &format))
			continue;
		if (VectorFormatIsInteger(format) || format == VECTOR_NUMERIC_ARRAY)
			others = lappend_int(others, attribute->attnum);
		else
			floats = lappend_int(floats, attribute->attnum);
	}
	return floats ? floats : others;
}

/* ---------- one dataset, ready to be read ---------- */

/*
 * Types whose text is the same under all settings.
 */
static bool
HasFixedText(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case UUIDOID:
			return true;
	}
	return get_typtype(type) == TYPTYPE_ENUM;
}

static char *
QualifiedOperator(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	text = psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return text;
}

/*
 * The key column in a query on the dataset. A domain is cast away, since an
 * operator for any enum or any range does not know it; for a Var that is no
 * work, and indexes serve it.
 */
static char *
KeyOperand(const Dataset *dataset, const SampleKey *key, Oid column_type)
{
	if (column_type == key->type)
		return psprintf("%s.%s", dataset->name_in_query, key->column);
	return psprintf("(%s.%s)::%s", dataset->name_in_query, key->column,
					format_type_extended(key->type, -1, FORMAT_TYPE_FORCE_QUALIFY));
}

/*
 * The types of text whose equality is not that of their bytes: citext, and any
 * with a collation of that kind. character(n) only ignores its padding.
 */
static bool
IsComparedByText(const SampleKey *key, Oid collation)
{
	return key->category == TYPCATEGORY_STRING && key->type != BPCHAROID &&
		(key->type >= FirstNormalObjectId ||
		 (OidIsValid(collation) && !get_collation_isdeterministic(collation)));
}

static void
InitSampleKey(Dataset *dataset, Form_pg_attribute attribute)
{
	SampleKey  *key = &dataset->key;
	Oid			output;
	bool		is_varlena;
	bool		is_preferred;

	key->attno = attribute->attnum;
	key->column = pstrdup(quote_identifier(NameStr(attribute->attname)));
	key->type = getBaseType(attribute->atttypid);
	key->operand = KeyOperand(dataset, key, attribute->atttypid);
	key->array_type = get_array_type(key->type);
	key->equals = QualifiedOperator(KeyEqualityOperator(key->type));
	key->pinned = !HasFixedText(key->type);
	get_type_category_preferred(key->type, &key->category, &is_preferred);
	key->by_text = IsComparedByText(key, attribute->attcollation);
	getTypeOutputInfo(key->type, &output, &is_varlena);
	fmgr_info(output, &key->output);
	getTypeInputInfo(key->type, &key->input, &key->ioparam);
}

/*
 * Describe a dataset whose columns were checked. Allocated in the current
 * memory context; the relation may be closed, but must stay locked.
 */
Dataset *
OpenDataset(Relation rel, AttrNumber key_attno, AttrNumber embeddings_attno)
{
	Dataset    *dataset = palloc0(sizeof(Dataset));

	dataset->relid = RelationGetRelid(rel);
	dataset->name = DatasetName(dataset->relid);
	dataset->from = QualifiedName(rel);
	dataset->name_in_query = pstrdup(quote_identifier(RelationGetRelationName(rel)));
	dataset->relkind = rel->rd_rel->relkind;
	dataset->rows = rel->rd_rel->reltuples;
	InitSampleKey(dataset, TupleDescAttr(RelationGetDescr(rel), key_attno - 1));
	dataset->embeddings_attno = embeddings_attno;
	if (embeddings_attno > 0)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), embeddings_attno - 1);

		dataset->embeddings_column = pstrdup(quote_identifier(NameStr(attribute->attname)));
		dataset->embeddings_type = attribute->atttypid;
		if (!VectorFormatOfType(attribute->atttypid, &dataset->format))
			elog(ERROR, "column %d cannot hold embeddings", embeddings_attno);
		dataset->declared_dimensions =
			VectorFormatIsArray(dataset->format) ? 0 : Max(attribute->atttypmod, 0);
	}
	return dataset;
}

/*
 * A relation's name for messages: as regclass prints it, without quotes.
 */
char *
DatasetName(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		return psprintf("%u", relid);
	if (RelationIsVisible(relid))
		return name;
	return psprintf("%s.%s", get_namespace_name(get_rel_namespace(relid)), name);
}

/* How much of a caller's text a message repeats, in bytes. */
#define MAX_QUOTED_LENGTH 100

/*
 * A caller's text for a message, which it must not make as long as itself.
 */
char *
ClipText(const char *text)
{
	int			length = strlen(text);

	if (length <= MAX_QUOTED_LENGTH)
		return pstrdup(text);
	length = pg_mbcliplen(text, length, MAX_QUOTED_LENGTH);
	return psprintf("%.*s...", length, text);
}

/* ---------- sample ids ---------- */

static void
PinSetting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Names resolve to pg_catalog only until UnpinSettings(), or the end of the
 * (sub)transaction on an error.
 */
int
PinSearchPath(void)
{
	int			nest_level = NewGUCNestLevel();

	PinSetting("search_path", "pg_catalog, pg_temp");
	return nest_level;
}

/*
 * The settings that a type's text may depend on (DESIGN section 2; postgres_fdw
 * pins the same for what it sends).
 */
int
PinSettings(void)
{
	int			nest_level = PinSearchPath();

	PinSetting("datestyle", "ISO, YMD");
	PinSetting("timezone", "UTC");
	PinSetting("intervalstyle", "postgres");
	PinSetting("extra_float_digits", "1");
	PinSetting("bytea_output", "hex");
	return nest_level;
}

/*
 * And those by which an expression is written as text and read from it.
 */
int
PinExpressionSettings(void)
{
	int			nest_level = PinSettings();

	PinSetting("quote_all_identifiers", "off");
	PinSetting("standard_conforming_strings", "on");
	PinSetting("backslash_quote", "safe_encoding");
	PinSetting("array_nulls", "on");
	PinSetting("transform_null_equals", "off");
	return nest_level;
}

void
UnpinSettings(int nest_level)
{
	AtEOXact_GUC(true, nest_level);
}

/*
 * A key value's one canonical text, allocated in the current memory context.
 */
char *
SampleId(SampleKey *key, Datum value)
{
	char	   *text;
	int			nest_level;

	if (!key->pinned)
		return OutputFunctionCall(&key->output, value);
	nest_level = PinSettings();
	text = OutputFunctionCall(&key->output, value);
	UnpinSettings(nest_level);
	return text;
}

/*
 * The canonical text of a value of any type.
 */
char *
CanonicalText(Oid type, Datum value)
{
	Oid			output;
	bool		is_varlena;
	char	   *text;
	int			nest_level;

	getTypeOutputInfo(type, &output, &is_varlena);
	if (HasFixedText(type))
		return OidOutputFunctionCall(output, value);
	nest_level = PinSettings();
	text = OidOutputFunctionCall(output, value);
	UnpinSettings(nest_level);
	return text;
}

#if PG_VERSION_NUM >= 160000

static bool
TryInput(SampleKey *key, char *text, Datum *value)
{
	ErrorSaveContext errors = {.type = T_ErrorSaveContext};
	FmgrInfo	input;

	fmgr_info(key->input, &input);
	return InputFunctionCallSafe(&input, text, key->ioparam, -1, (Node *) &errors, value);
}

#else

/* Soft input errors came with 16. */
typedef struct InputCall
{
	SampleKey  *key;
	char	   *text;
	Datum	   *value;
} InputCall;

static void
CallInput(void *arg)
{
	InputCall  *call = arg;

	*call->value = OidInputFunctionCall(call->key->input, call->text, call->key->ioparam, -1);
}

/*
 * Only errors of the data are swallowed; an unknown name is one of reg* types.
 */
static bool
TryInput(SampleKey *key, char *text, Datum *value)
{
	InputCall	call = {key, text, value};
	ErrorData  *error = Try(CallInput, &call);

	if (error == NULL)
		return true;
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_TO_CATEGORY(ERRCODE_INVALID_SCHEMA_NAME):
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
			FreeErrorData(error);
			return false;
	}
	ReThrowError(error);
	return false;
}

#endif

/*
 * Put a caller's text through the key type's input, under the pinned settings:
 * '042' is 42. False when it is not of that type.
 */
bool
ParseSampleId(SampleKey *key, const char *text, Datum *value)
{
	int			nest_level;
	bool		ok;

	if (!key->pinned)
		return TryInput(key, pstrdup(text), value);
	nest_level = PinSettings();
	ok = TryInput(key, pstrdup(text), value);
	UnpinSettings(nest_level);
	return ok;
}
