/*
 * options.h
 *		The options of a connection to Milvus: one table for all places they come from.
 */
#ifndef BRAIN_MILVUS_OPTIONS_H
#define BRAIN_MILVUS_OPTIONS_H

/* Named as FiftyOne names them, where it has them. */
typedef enum MilvusOptionId
{
	MILVUS_URI,
	MILVUS_HOST,
	MILVUS_PORT,
	MILVUS_SECURE,
	MILVUS_SERVER_NAME,
	MILVUS_CA_PEM_PATH,
	MILVUS_SERVER_PEM_PATH,
	MILVUS_CLIENT_PEM_PATH,
	MILVUS_CLIENT_KEY_PATH,
	MILVUS_DB_NAME,
	MILVUS_USER,
	MILVUS_PASSWORD,
	MILVUS_TOKEN,
	MILVUS_CONNECT_TIMEOUT,
	MILVUS_REQUEST_TIMEOUT,
	N_MILVUS_OPTIONS
} MilvusOptionId;

/* Where an option may stand. */
typedef enum MilvusPlace
{
	PLACE_CALL = 1,				/* arguments of a SQL function */
	PLACE_SERVER = 2,			/* CREATE SERVER */
	PLACE_MAPPING = 4,			/* CREATE USER MAPPING */
	PLACE_FIFTYONE = 8,			/* FiftyOne's environment variables and brain_config.json */
} MilvusPlace;

typedef struct MilvusOption MilvusOption;

struct MilvusOption
{
	const char *name;
	int			places;			/* of MilvusPlace */
	void		(*check) (const MilvusOption *option, const char *value, const char *origin);
	bool		is_route;		/* says where secrets go, or how they are protected there */
	bool		is_file;		/* of the database server */
};

extern const MilvusOption milvus_options[N_MILVUS_OPTIONS];

extern bool IsMilvusOption(const char *name);
extern MilvusOptionId FindMilvusOption(const char *name, MilvusPlace place, const char *origin);
extern void CheckMilvusOption(MilvusOptionId id, const char *value, const char *origin);
extern void CheckMayName(MilvusOptionId id);
extern int	ParseSeconds(const char *value);
pg_noreturn extern void RaiseSettingProblem(const char *origin, const char *hint, const char *message,...) pg_attribute_printf(3, 4);

#endif							/* BRAIN_MILVUS_OPTIONS_H */
