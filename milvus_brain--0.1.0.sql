/* milvus_brain--0.1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION milvus_brain" to load this file. \quit

-- Made here, not by the control file: so it is a member and goes with the
-- extension, and a schema "brain" that somebody else prepared is refused.
CREATE SCHEMA brain;
GRANT USAGE ON SCHEMA brain TO PUBLIC;
COMMENT ON SCHEMA brain IS 'similarity search over your own samples (extension milvus_brain)';

-- ---------------------------------------------------------------------------
-- The catalog. Nobody but the owner reads or writes these tables; the view
-- brain.runs shows each role what it may see.
-- ---------------------------------------------------------------------------

-- A run as it is dumped: everything by name. The names follow renames by way
-- of the event triggers at the end of this file.
CREATE TABLE brain._runs (
	run_id				uuid PRIMARY KEY,
	brain_key			text COLLATE "C" NOT NULL,
	dataset_schema		text COLLATE "C" NOT NULL,
	dataset_name		text COLLATE "C" NOT NULL,
	id_field			text COLLATE "C" NOT NULL,
	embeddings_field	text COLLATE "C",
	filter				text,
	type				text NOT NULL DEFAULT 'similarity',
	backend				text NOT NULL,
	metric				text NOT NULL,
	dimensions			integer,
	indexed				bigint,
	missing				bigint,
	skipped				bigint,
	has_index			boolean NOT NULL DEFAULT true,
	version				text NOT NULL,
	created				timestamptz NOT NULL DEFAULT pg_catalog.now(),
	UNIQUE (dataset_schema, dataset_name, brain_key)
);
COMMENT ON TABLE brain._runs IS 'one row for each brain run, by name (internal; read brain.runs)';

-- What those names are in this database now. Never dumped: an OID means
-- nothing elsewhere, so a restored run is found by name and bound again. A
-- row of another system identifier (pg_upgrade) counts as absent.
CREATE TABLE brain._run_bindings (
	run_id				uuid PRIMARY KEY,
	system_identifier	bigint NOT NULL,
	dataset				oid NOT NULL,
	id_attnum			smallint NOT NULL,
	embeddings_attnum	smallint,
	filter_tree			text
);
CREATE INDEX _run_bindings_dataset_idx ON brain._run_bindings (dataset);
COMMENT ON TABLE brain._run_bindings IS 'OIDs, column numbers and the parsed filter of each brain run (internal, not dumped)';

-- Embeddings of runs that are not over a column of their dataset.
CREATE TABLE brain.embeddings (
	run_id				uuid NOT NULL,
	sample_id			text COLLATE "C" NOT NULL,
	embedding			real[] NOT NULL,
	PRIMARY KEY (run_id, sample_id)
);
COMMENT ON TABLE brain.embeddings IS 'embeddings given by brain.add_to_index() to runs without a column of their own';

SELECT pg_catalog.pg_extension_config_dump('brain._runs', '');
SELECT pg_catalog.pg_extension_config_dump('brain.embeddings', '');

-- ---------------------------------------------------------------------------
-- Making a run
-- ---------------------------------------------------------------------------

CREATE TYPE brain.similarity_index AS (
	brain_key	text,
	backend		text,
	metric		text,
	dimensions	integer,
	indexed		bigint,
	missing		bigint,
	skipped		bigint,
	seconds		double precision
);
COMMENT ON TYPE brain.similarity_index IS
	'what compute_similarity() and load_brain_results() say of an index: indexed = samples in it, missing = samples without embedding, skipped = samples whose embedding cannot be used, seconds = time taken';

CREATE FUNCTION brain.compute_similarity(
	samples			regclass,
	brain_key		text,
	embeddings		text DEFAULT NULL,
	backend			text DEFAULT NULL,
	metric			text DEFAULT NULL,
	id_field		text DEFAULT NULL,
	filter			text DEFAULT NULL,
	with_data		boolean DEFAULT true,
	skip_failures	boolean DEFAULT false,
	overwrite		boolean DEFAULT false,
	options			jsonb DEFAULT NULL
) RETURNS brain.similarity_index
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000
	AS 'MODULE_PATHNAME', 'brain_compute_similarity';
COMMENT ON FUNCTION brain.compute_similarity(regclass, text, text, text, text, text, text, boolean, boolean, boolean, jsonb) IS
	'index the embeddings of a dataset under a brain key';

-- ---------------------------------------------------------------------------
-- Searching it
-- ---------------------------------------------------------------------------

CREATE FUNCTION brain._search_support(internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'brain_search_support';
COMMENT ON FUNCTION brain._search_support(internal) IS 'planner support: rows and cost of a search (internal)';

CREATE FUNCTION brain.sort_by_similarity(
	samples			regclass,
	query			text,
	k				integer DEFAULT 25,
	reverse			boolean DEFAULT false,
	aggregation		text DEFAULT 'mean',
	brain_key		text DEFAULT NULL,
	filter			text DEFAULT NULL,
	max_distance	double precision DEFAULT NULL,
	options			jsonb DEFAULT NULL
) RETURNS TABLE (rank integer, sample_id text, label_id text, distance double precision, score double precision)
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 25
	SUPPORT brain._search_support
	AS 'MODULE_PATHNAME', 'brain_sort_by_similarity';
COMMENT ON FUNCTION brain.sort_by_similarity(regclass, text, integer, boolean, text, text, text, double precision, jsonb) IS
	'the samples of a dataset nearest to a query: an id, or a vector such as ''[0.1, 0.7]''';

CREATE FUNCTION brain.sort_by_similarity(
	samples			regclass,
	query			"any",
	k				integer DEFAULT 25,
	reverse			boolean DEFAULT false,
	aggregation		text DEFAULT 'mean',
	brain_key		text DEFAULT NULL,
	filter			text DEFAULT NULL,
	max_distance	double precision DEFAULT NULL,
	options			jsonb DEFAULT NULL
) RETURNS TABLE (rank integer, sample_id text, label_id text, distance double precision, score double precision)
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 25
	SUPPORT brain._search_support
	AS 'MODULE_PATHNAME', 'brain_sort_by_similarity';
COMMENT ON FUNCTION brain.sort_by_similarity(regclass, "any", integer, boolean, text, text, text, double precision, jsonb) IS
	'the samples of a dataset nearest to a query: an id, ids, a vector or vectors';

CREATE FUNCTION brain.similar_samples(
	samples			anyelement,
	query			text,
	k				integer DEFAULT 25,
	reverse			boolean DEFAULT false,
	aggregation		text DEFAULT 'mean',
	brain_key		text DEFAULT NULL,
	filter			text DEFAULT NULL,
	max_distance	double precision DEFAULT NULL,
	options			jsonb DEFAULT NULL,
	OUT rank		integer,
	OUT distance	double precision,
	OUT score		double precision,
	OUT sample		anyelement
) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 25
	SUPPORT brain._search_support
	AS 'MODULE_PATHNAME', 'brain_similar_samples';
COMMENT ON FUNCTION brain.similar_samples(anyelement, text, integer, boolean, text, text, text, double precision, jsonb) IS
	'the rows of a dataset nearest to a query, typed: similar_samples(NULL::images, 42)';

CREATE FUNCTION brain.similar_samples(
	samples			anyelement,
	query			"any",
	k				integer DEFAULT 25,
	reverse			boolean DEFAULT false,
	aggregation		text DEFAULT 'mean',
	brain_key		text DEFAULT NULL,
	filter			text DEFAULT NULL,
	max_distance	double precision DEFAULT NULL,
	options			jsonb DEFAULT NULL,
	OUT rank		integer,
	OUT distance	double precision,
	OUT score		double precision,
	OUT sample		anyelement
) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 25
	SUPPORT brain._search_support
	AS 'MODULE_PATHNAME', 'brain_similar_samples';
COMMENT ON FUNCTION brain.similar_samples(anyelement, "any", integer, boolean, text, text, text, double precision, jsonb) IS
	'the rows of a dataset nearest to a query, typed: similar_samples(NULL::images, ARRAY[42, 43])';

-- ---------------------------------------------------------------------------
-- The embeddings of an index
-- ---------------------------------------------------------------------------

CREATE FUNCTION brain.get_embeddings(
	samples			regclass,
	brain_key		text,
	ids				"any",
	allow_missing	boolean DEFAULT true,
	warn_missing	boolean DEFAULT false
) RETURNS TABLE (sample_id text, label_id text, embedding real[])
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 ROWS 100
	AS 'MODULE_PATHNAME', 'brain_get_embeddings';
COMMENT ON FUNCTION brain.get_embeddings(regclass, text, "any", boolean, boolean) IS
	'the embeddings of an id or of an array of ids, in the order asked';

CREATE FUNCTION brain.get_embeddings(
	samples			regclass,
	brain_key		text
) RETURNS TABLE (sample_id text, label_id text, embedding real[])
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 1000
	AS 'MODULE_PATHNAME', 'brain_get_all_embeddings';
COMMENT ON FUNCTION brain.get_embeddings(regclass, text) IS
	'all embeddings of an index, in no particular order';

CREATE FUNCTION brain.add_to_index(
	samples			regclass,
	brain_key		text,
	sample_ids		"any",
	embeddings		"any",
	overwrite		boolean DEFAULT true,
	allow_existing	boolean DEFAULT true,
	warn_existing	boolean DEFAULT false,
	OUT inserted	bigint,
	OUT updated		bigint,
	OUT skipped		bigint
) RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000
	AS 'MODULE_PATHNAME', 'brain_add_to_index';
COMMENT ON FUNCTION brain.add_to_index(regclass, text, "any", "any", boolean, boolean, boolean) IS
	'put the embedding of a sample (an id and a vector) or of many (an array of ids and a two-dimensional array) into an index';

CREATE FUNCTION brain.remove_from_index(
	samples			regclass,
	brain_key		text,
	sample_ids		"any",
	allow_missing	boolean DEFAULT true,
	warn_missing	boolean DEFAULT false,
	OUT removed		bigint,
	OUT missing		bigint
) RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000
	AS 'MODULE_PATHNAME', 'brain_remove_from_index';
COMMENT ON FUNCTION brain.remove_from_index(regclass, text, "any", boolean, boolean) IS
	'take the embedding of a sample (an id) or of many (an array of ids) out of an index';

-- ---------------------------------------------------------------------------
-- The catalog of brain runs
-- ---------------------------------------------------------------------------

CREATE FUNCTION brain._visible_runs(
	dataset					regclass,
	OUT samples				regclass,
	OUT brain_key			text,
	OUT type				text,
	OUT method				text,
	OUT backend				text,
	OUT metric				text,
	OUT dimensions			integer,
	OUT id_field			text,
	OUT embeddings_field	text,
	OUT patches_field		text,
	OUT supports_prompts	boolean,
	OUT filter				text,
	OUT indexed				bigint,
	OUT missing				bigint,
	OUT skipped				bigint,
	OUT state				text,
	OUT reason				text,
	OUT version				text,
	OUT created				timestamptz
) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 100 ROWS 10
	AS 'MODULE_PATHNAME', 'brain_visible_runs';
COMMENT ON FUNCTION brain._visible_runs(regclass) IS 'the brain runs of a dataset, or with NULL of all, that the caller may see, as they are now (internal; read brain.runs)';

CREATE VIEW brain.runs AS
	SELECT * FROM brain._visible_runs(NULL) ORDER BY samples::pg_catalog.text COLLATE "C", brain_key COLLATE "C";
GRANT SELECT ON brain.runs TO PUBLIC;
COMMENT ON VIEW brain.runs IS
	'the brain runs of all datasets that one may read; state is ready, cleaned up, broken (reason says why), or locked while another session alters the dataset; counts are of the last compute and NULL under row security';

CREATE FUNCTION brain._metric_name(metric text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'brain_metric_name';
COMMENT ON FUNCTION brain._metric_name(text) IS 'FiftyOne''s name of a metric, from its, Milvus'' or pgvector''s word (internal)';

CREATE FUNCTION brain.list_brain_runs(
	samples				regclass,
	type				text DEFAULT NULL,
	method				text DEFAULT NULL,
	patches_field		text DEFAULT NULL,
	supports_prompts	boolean DEFAULT NULL,
	metric				text DEFAULT NULL,
	embeddings_field	text DEFAULT NULL
) RETURNS SETOF brain.runs
	LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10
	BEGIN ATOMIC
		SELECT r.* FROM brain._visible_runs($1) r
		 WHERE r.samples = $1
		   AND ($2 IS NULL OR r.type = $2)
		   AND ($3 IS NULL OR r.method = CASE $3 WHEN 'sklearn' THEN 'exact' ELSE $3 END)
		   AND ($4 IS NULL OR r.patches_field = $4)
		   AND ($5 IS NULL OR r.supports_prompts = $5)
		   AND ($6 IS NULL OR r.metric = brain._metric_name($6))
		   AND ($7 IS NULL OR r.embeddings_field = $7)
		 ORDER BY r.brain_key COLLATE "C";
	END;
COMMENT ON FUNCTION brain.list_brain_runs(regclass, text, text, text, boolean, text, text) IS
	'the brain runs of a dataset, sorted by key; an argument that is not NULL must be equal';

CREATE FUNCTION brain.has_brain_run(samples regclass, brain_key text) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL RESTRICTED
	BEGIN ATOMIC
		SELECT EXISTS (SELECT FROM brain._visible_runs($1) r WHERE r.samples = $1 AND r.brain_key = $2);
	END;
COMMENT ON FUNCTION brain.has_brain_run(regclass, text) IS 'is there a brain run of that key?';

CREATE FUNCTION brain._no_such_run(samples regclass, brain_key text) RETURNS jsonb
	LANGUAGE c STABLE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'brain_no_such_run';
COMMENT ON FUNCTION brain._no_such_run(regclass, text) IS 'raises the error that says so (internal)';

CREATE FUNCTION brain.get_brain_info(samples regclass, brain_key text) RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL RESTRICTED
	BEGIN ATOMIC
		SELECT CASE WHEN r.brain_key IS NULL THEN brain._no_such_run($1, $2) ELSE
			   jsonb_build_object(
				   'key', r.brain_key,
				   'version', r.version,
				   'timestamp', r.created,
				   'config', jsonb_build_object(
					   'type', r.type,
					   'method', r.method,
					   'backend', r.backend,
					   'metric', r.metric,
					   'id_field', r.id_field,
					   'embeddings_field', r.embeddings_field,
					   'patches_field', r.patches_field,
					   'filter', r.filter,
					   'supports_prompts', r.supports_prompts),
				   'index', jsonb_build_object(
					   'state', r.state,
					   'reason', r.reason,
					   'dimensions', r.dimensions,
					   'indexed', r.indexed,
					   'missing', r.missing,
					   'skipped', r.skipped)) END
		  FROM (SELECT) AS one LEFT JOIN brain._visible_runs($1) r ON r.samples = $1 AND r.brain_key = $2;
	END;
COMMENT ON FUNCTION brain.get_brain_info(regclass, text) IS
	'the record of a brain run: key, version, timestamp, config, and the state of its index';

CREATE FUNCTION brain.load_brain_results(samples regclass, brain_key text) RETURNS brain.similarity_index
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME', 'brain_load_brain_results';
COMMENT ON FUNCTION brain.load_brain_results(regclass, text) IS
	'read the whole index of a brain run, check that it can be used, and count what is in it now';

CREATE FUNCTION brain.rename_brain_run(samples regclass, brain_key text, new_brain_key text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'brain_rename_brain_run';
COMMENT ON FUNCTION brain.rename_brain_run(regclass, text, text) IS 'give a brain run another key';

CREATE FUNCTION brain.delete_brain_run(samples regclass, brain_key text, cleanup boolean DEFAULT false) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'brain_delete_brain_run';
COMMENT ON FUNCTION brain.delete_brain_run(regclass, text, boolean) IS
	'delete the record of a brain run, and with cleanup its index; never a column of the dataset';

CREATE FUNCTION brain.delete_brain_runs(samples regclass, cleanup boolean DEFAULT false) RETURNS integer
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'brain_delete_brain_runs';
COMMENT ON FUNCTION brain.delete_brain_runs(regclass, boolean) IS
	'delete all brain runs of a dataset; returns how many';

CREATE FUNCTION brain.cleanup(samples regclass, brain_key text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'brain_cleanup';
COMMENT ON FUNCTION brain.cleanup(regclass, text) IS
	'drop the index of a brain run; its record stays';

-- ---------------------------------------------------------------------------
-- About the extension
-- ---------------------------------------------------------------------------

CREATE FUNCTION brain.version() RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'brain_version';
COMMENT ON FUNCTION brain.version() IS 'the version of the milvus_brain library';

CREATE FUNCTION brain.capabilities(
	OUT backend			text,
	OUT max_k			integer,
	OUT reverse			boolean,
	OUT aggregations	text[],
	OUT max_distance	boolean,
	OUT filter			boolean,
	OUT metrics			text[],
	OUT default_metric	text,
	OUT max_dimensions	integer
) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL SAFE ROWS 2
	AS 'MODULE_PATHNAME', 'brain_capabilities';
COMMENT ON FUNCTION brain.capabilities() IS 'what each backend can do; max_k NULL means no limit';

CREATE VIEW brain.progress AS
	SELECT s.pid,
		   d.datname,
		   CASE WHEN s.datid = c.oid THEN s.relid::pg_catalog.regclass END AS samples,
		   'compute_similarity'::pg_catalog.text AS command,
		   CASE s.param11 WHEN 1 THEN 'checking ids' WHEN 2 THEN 'reading embeddings' WHEN 3 THEN 'recording' END AS phase,
		   s.param12 AS samples_done,
		   nullif(s.param13, -1) AS samples_total
	  FROM pg_catalog.pg_stat_get_progress_info('COPY') s
	  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.datid
	  LEFT JOIN pg_catalog.pg_database c ON c.datname = pg_catalog.current_database()
	 WHERE s.param19 = 1112686921 AND s.param20 = 1313427015;
GRANT SELECT ON brain.progress TO PUBLIC;
COMMENT ON VIEW brain.progress IS
	'running compute_similarity() calls; samples_total is an estimate, NULL when there is none; rows of other roles need pg_read_all_stats';

-- ---------------------------------------------------------------------------
-- Runs live with their dataset
-- ---------------------------------------------------------------------------

CREATE FUNCTION brain._on_ddl_start() RETURNS event_trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'brain_on_ddl_start';
COMMENT ON FUNCTION brain._on_ddl_start() IS 'binds restored brain runs before their dataset can be renamed (internal)';
CREATE FUNCTION brain._on_ddl_end() RETURNS event_trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'brain_on_ddl_end';
COMMENT ON FUNCTION brain._on_ddl_end() IS 'lets the names in brain._runs follow renames (internal)';
CREATE FUNCTION brain._on_drop() RETURNS event_trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'brain_on_drop';
COMMENT ON FUNCTION brain._on_drop() IS 'deletes the brain runs of dropped datasets (internal)';

-- ALTER INDEX renames tables too; the last lines are what a run's filter may use.
CREATE EVENT TRIGGER milvus_brain_on_ddl_start ON ddl_command_start
	WHEN TAG IN ('ALTER TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER INDEX', 'ALTER SCHEMA')
	EXECUTE FUNCTION brain._on_ddl_start();
CREATE EVENT TRIGGER milvus_brain_on_ddl_end ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER INDEX', 'ALTER SCHEMA',
				 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER OPERATOR', 'ALTER TYPE', 'ALTER DOMAIN', 'ALTER COLLATION',
				 'CREATE FUNCTION', 'CREATE OPERATOR', 'CREATE TYPE', 'CREATE DOMAIN', 'CREATE COLLATION')
	EXECUTE FUNCTION brain._on_ddl_end();
CREATE EVENT TRIGGER milvus_brain_on_drop ON sql_drop
	EXECUTE FUNCTION brain._on_drop();

COMMENT ON EVENT TRIGGER milvus_brain_on_ddl_start IS 'binds restored brain runs before their dataset can be renamed';
COMMENT ON EVENT TRIGGER milvus_brain_on_ddl_end IS 'lets the names in brain._runs follow renames';
COMMENT ON EVENT TRIGGER milvus_brain_on_drop IS 'deletes the brain runs of dropped datasets';

-- Also in sessions that replay what others did (session_replication_role = replica).
ALTER EVENT TRIGGER milvus_brain_on_ddl_start ENABLE ALWAYS;
ALTER EVENT TRIGGER milvus_brain_on_ddl_end ENABLE ALWAYS;
ALTER EVENT TRIGGER milvus_brain_on_drop ENABLE ALWAYS;
