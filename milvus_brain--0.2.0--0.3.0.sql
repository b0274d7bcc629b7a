/* milvus_brain--0.2.0--0.3.0.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION milvus_brain UPDATE TO '0.3.0'" to load this file. \quit

-- ---------------------------------------------------------------------------
-- Milvus servers
-- ---------------------------------------------------------------------------

CREATE FUNCTION brain.milvus_fdw_validator(options text[], catalog oid) RETURNS void
	LANGUAGE c STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'milvus_fdw_validator';
COMMENT ON FUNCTION brain.milvus_fdw_validator(text[], oid) IS
	'checks the options of servers and user mappings of milvus_fdw';

-- No handler: its servers say where Milvus is, and have no tables.
CREATE FOREIGN DATA WRAPPER milvus_fdw VALIDATOR brain.milvus_fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER milvus_fdw IS
	'Milvus servers for brain runs: CREATE SERVER says where, CREATE USER MAPPING as whom';

CREATE FUNCTION brain.health(
	server				text DEFAULT NULL,
	options				jsonb DEFAULT NULL,
	OUT uri				text,
	OUT reachable		boolean,
	OUT version			text,
	OUT authenticated	boolean,
	OUT tls				boolean,
	OUT databases		text[],
	OUT latency			interval,
	OUT problem			text
)
	LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME', 'brain_health';
COMMENT ON FUNCTION brain.health(text, jsonb) IS
	'asks a Milvus server, by a new connection: a server of milvus_fdw, the one that options name, or the default one; problem says why it cannot be used';

-- ---------------------------------------------------------------------------
-- Runs on them
-- ---------------------------------------------------------------------------

-- What only its backend understands of a run: a collection's name, its index.
ALTER TABLE brain._runs ADD COLUMN config jsonb;

-- A base is a collection where it is no files.
ALTER TABLE brain._bases
	ADD COLUMN server text,
	ADD COLUMN collection text,
	ADD COLUMN attached boolean,
	ADD COLUMN origin text,
	ADD COLUMN fingerprint bigint,
	ADD COLUMN "timestamp" bigint;
COMMENT ON TABLE brain._bases IS
	'the matrix files, the oldest first, or the Milvus collection of each brain run; reason: why there are none (internal, not dumped)';

-- Collections of runs that were deleted, cleaned up or computed anew. Not dumped.
CREATE TABLE brain.garbage (
	run_id		uuid NOT NULL,
	server		text,
	collection	text NOT NULL,
	origin		text NOT NULL,
	since		timestamptz NOT NULL,
	attached_by	oid
);
COMMENT ON TABLE brain.garbage IS
	'collections on Milvus servers that belong to no brain run any more: brain.sweep() drops them; attached_by: who cleaned up with force what no run had made (not dumped)';

DROP FUNCTION brain.compute_similarity(regclass, text, text, text, text, text, text, boolean, boolean, boolean, jsonb);
CREATE FUNCTION brain.compute_similarity(
	samples				regclass,
	brain_key			text,
	embeddings			text DEFAULT NULL,
	backend				text DEFAULT NULL,
	metric				text DEFAULT NULL,
	id_field			text DEFAULT NULL,
	filter				text DEFAULT NULL,
	with_data			boolean DEFAULT true,
	skip_failures		boolean DEFAULT false,
	overwrite			boolean DEFAULT false,
	options				jsonb DEFAULT NULL,
	collection_name		text DEFAULT NULL,
	consistency_level	text DEFAULT NULL,
	server				text DEFAULT NULL
) RETURNS brain.similarity_index
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000
	AS 'MODULE_PATHNAME', 'brain_compute_similarity';
COMMENT ON FUNCTION brain.compute_similarity(regclass, text, text, text, text, text, text, boolean, boolean, boolean, jsonb, text, text, text) IS
	'index the embeddings of a dataset under a brain key';

-- ---------------------------------------------------------------------------
-- Searching them, and about them
-- ---------------------------------------------------------------------------

CREATE FUNCTION brain.explain_similarity(
	samples			regclass,
	query			text,
	k				integer DEFAULT 25,
	reverse			boolean DEFAULT false,
	aggregation		text DEFAULT 'mean',
	brain_key		text DEFAULT NULL,
	filter			text DEFAULT NULL,
	max_distance	double precision DEFAULT NULL,
	options			jsonb DEFAULT NULL,
	OUT plan		text,
	OUT why			text,
	OUT request		text,
	OUT candidates	bigint,
	OUT refills		integer
)
	LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME', 'brain_explain_similarity';
COMMENT ON FUNCTION brain.explain_similarity(regclass, text, integer, boolean, text, text, text, double precision, jsonb) IS
	'searches as sort_by_similarity() does, and says how: plan (matrix, milvus or table), why the table, the request to Milvus, how many candidates were looked at, how often more were asked for';

CREATE FUNCTION brain.explain_similarity(
	samples			regclass,
	query			"any",
	k				integer DEFAULT 25,
	reverse			boolean DEFAULT false,
	aggregation		text DEFAULT 'mean',
	brain_key		text DEFAULT NULL,
	filter			text DEFAULT NULL,
	max_distance	double precision DEFAULT NULL,
	options			jsonb DEFAULT NULL,
	OUT plan		text,
	OUT why			text,
	OUT request		text,
	OUT candidates	bigint,
	OUT refills		integer
)
	LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME', 'brain_explain_similarity';
COMMENT ON FUNCTION brain.explain_similarity(regclass, "any", integer, boolean, text, text, text, double precision, jsonb) IS
	'searches as sort_by_similarity() does, and says how: plan (matrix, milvus or table), why the table, the request to Milvus, how many candidates were looked at, how often more were asked for';

CREATE OR REPLACE VIEW brain.progress AS
	SELECT s.pid,
		   d.datname,
		   CASE WHEN s.datid = c.oid THEN s.relid::pg_catalog.regclass END AS samples,
		   'compute_similarity'::pg_catalog.text AS command,
		   CASE s.param11 WHEN 1 THEN 'checking ids' WHEN 2 THEN 'reading embeddings' WHEN 3 THEN 'recording'
			   WHEN 4 THEN 'flushing' WHEN 5 THEN 'building the index' WHEN 6 THEN 'loading' END AS phase,
		   s.param12 AS samples_done,
		   nullif(s.param13, -1) AS samples_total,
		   CASE WHEN s.param11 IN (2, 5) THEN (s.param12 / t.seconds)::bigint END AS samples_per_second,
		   CASE WHEN s.param11 IN (2, 5) AND s.param12 > 0 AND s.param13 >= s.param12
			   THEN pg_catalog.make_interval(secs => (s.param13 - s.param12) * t.seconds / s.param12) END AS time_left
	  FROM pg_catalog.pg_stat_get_progress_info('COPY') s
	  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.datid
	  LEFT JOIN pg_catalog.pg_database c ON c.datname = pg_catalog.current_database()
	 CROSS JOIN LATERAL greatest(extract(epoch FROM pg_catalog.clock_timestamp()) - (946684800 + s.param14 / 1e6), 0.001) AS e
	 CROSS JOIN LATERAL CAST(e AS double precision) AS t (seconds)
	 WHERE s.param19 = 1112686921 AND s.param20 = 1313427015;
COMMENT ON VIEW brain.progress IS
	'running compute_similarity() calls; samples_total is an estimate, NULL when there is none; samples_per_second and time_left of phases that count; rows of other roles need pg_read_all_stats';

DROP FUNCTION brain.load_brain_results(regclass, text);
CREATE FUNCTION brain.load_brain_results(samples regclass, brain_key text, options jsonb DEFAULT NULL) RETURNS brain.similarity_index
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME', 'brain_load_brain_results';
COMMENT ON FUNCTION brain.load_brain_results(regclass, text, jsonb) IS
	'read the whole index of a brain run, check that it can be used, and count what is in it now; with options of a connection, which are not stored, its Milvus server has to have its collection';

DROP FUNCTION brain.cleanup(regclass, text);
CREATE FUNCTION brain.cleanup(samples regclass, brain_key text, force boolean DEFAULT false) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'brain_cleanup';
COMMENT ON FUNCTION brain.cleanup(regclass, text, boolean) IS
	'drop the index of a brain run, its record stays; a collection that was there before the run, and is only attached, is dropped with force => true';

CREATE FUNCTION brain.delete_index(samples regclass, brain_key text) RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	BEGIN ATOMIC
		SELECT brain.delete_brain_run($1, $2, cleanup => true);
	END;
COMMENT ON FUNCTION brain.delete_index(regclass, text) IS
	'delete the index of a brain run and its record: FiftyOne''s index.delete()';

COMMENT ON TYPE brain.sync_result IS
	'what sync() did for a run: action is none, segment (a small file for what changed), upsert (writes to a Milvus collection), build (a new file or collection) or skipped (reason says why); changes = log rows taken in, rows = samples in the base now';
COMMENT ON FUNCTION brain.sweep() IS
	'remove matrix files, triggers, log rows and Milvus collections that belong to no brain run; returns what was removed';
COMMENT ON FUNCTION brain.last_search() IS
	'how the last search of this session was answered: path (matrix, milvus or table), reason, and how many rows each stage read';

CREATE FUNCTION brain._run_config(samples regclass, brain_key text) RETURNS jsonb
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'brain_run_config';
COMMENT ON FUNCTION brain._run_config(regclass, text) IS
	'what only its backend knows of a brain run; NULL: nothing, or not for the caller (internal; read brain.get_brain_info)';

CREATE OR REPLACE FUNCTION brain.get_brain_info(samples regclass, brain_key text) RETURNS jsonb
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
					   'supports_prompts', r.supports_prompts) || coalesce(brain._run_config($1, $2), '{}'),
				   'index', jsonb_build_object(
					   'state', r.state,
					   'reason', r.reason,
					   'dimensions', r.dimensions,
					   'indexed', r.indexed,
					   'missing', r.missing,
					   'skipped', r.skipped,
					   'base', (SELECT jsonb_build_object(
									'generation', s.generation,
									'rows', s.rows,
									'size', s.size,
									'last_sync', s.last_sync,
									'in_use', s.in_use,
									'reason', s.reason)
								  FROM brain._sync_status($1, $2) s))) END
		  FROM (SELECT) AS one LEFT JOIN brain._visible_runs($1) r ON r.samples = $1 AND r.brain_key = $2;
	END;
