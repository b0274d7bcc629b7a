/* milvus_brain--0.1.0--0.2.0.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION milvus_brain UPDATE TO '0.2.0'" to load this file. \quit

-- ---------------------------------------------------------------------------
-- The change log: what happened to a run's samples since its base was made
-- ---------------------------------------------------------------------------

-- Rows are added by triggers, in the writer's transaction, and taken out by
-- brain.sync(), which deletes exactly those that it read. Never updated, never
-- without duplicates: both would make writers wait for each other.
CREATE TABLE brain.changes (
	run_id		uuid NOT NULL,
	kind		"char" NOT NULL,
	sample_id	text COLLATE "C",
	changed		timestamptz NOT NULL
) WITH (
	-- A sync leaves nothing but dead rows, which every search has to step over.
	autovacuum_vacuum_scale_factor = 0.0,
	autovacuum_vacuum_threshold = 5000,
	autovacuum_vacuum_cost_delay = 0,
	-- Nothing is planned by its statistics, and its rows do not live to be frozen.
	autovacuum_analyze_scale_factor = 1.0,
	autovacuum_vacuum_insert_threshold = -1
);
CREATE INDEX changes_run_id_idx ON brain.changes (run_id);
COMMENT ON TABLE brain.changes IS
	'changes of samples that the base of a brain run does not have yet: kind r = the row of sample_id, t = a TRUNCATE, a = everything (internal, not dumped)';

-- Which matrix files the base of a run consists of. Not dumped: a restored run
-- starts without a base.
CREATE TABLE brain._bases (
	run_id		uuid PRIMARY KEY,
	generation	uuid NOT NULL,
	files		uuid[] NOT NULL,
	rows		bigint NOT NULL,
	size		bigint NOT NULL,
	synced		timestamptz NOT NULL,
	reason		text
);
COMMENT ON TABLE brain._bases IS
	'the matrix files of each brain run, the oldest first; reason: why there are none (internal, not dumped)';

CREATE FUNCTION brain._track_changes() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'brain_track_changes';
COMMENT ON FUNCTION brain._track_changes() IS
	'logs the changed rows of a dataset for the brain run that its argument names (internal)';
CREATE FUNCTION brain._track_truncate() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'brain_track_truncate';
COMMENT ON FUNCTION brain._track_truncate() IS
	'logs the TRUNCATE of a dataset for the brain run that its argument names (internal)';
CREATE FUNCTION brain._track_embeddings() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'brain_track_embeddings';
COMMENT ON FUNCTION brain._track_embeddings() IS 'logs the changed rows of brain.embeddings (internal)';

CREATE TRIGGER track_changes AFTER INSERT OR UPDATE OR DELETE ON brain.embeddings
	FOR EACH ROW EXECUTE FUNCTION brain._track_embeddings();
ALTER TABLE brain.embeddings ENABLE ALWAYS TRIGGER track_changes;

-- ---------------------------------------------------------------------------
-- Taking the log into the base
-- ---------------------------------------------------------------------------

CREATE TYPE brain.sync_result AS (
	samples		regclass,
	brain_key	text,
	action		text,
	changes		bigint,
	rows		bigint,
	seconds		double precision,
	reason		text
);
COMMENT ON TYPE brain.sync_result IS
	'what sync() did for a run: action is none, segment (a small file for what changed), build (a new file) or skipped (reason says why); changes = log rows taken in, rows = samples in the base now';

CREATE FUNCTION brain.sync(
	samples			regclass DEFAULT NULL,
	brain_key		text DEFAULT NULL
) RETURNS SETOF brain.sync_result
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 ROWS 1
	AS 'MODULE_PATHNAME', 'brain_sync';
COMMENT ON FUNCTION brain.sync(regclass, text) IS
	'take the changes of a run''s dataset into its base: of one run, of all runs of a dataset, or of all datasets that one owns';

CREATE FUNCTION brain._sync_status(
	dataset					regclass DEFAULT NULL,
	key						text DEFAULT NULL,
	OUT samples				regclass,
	OUT brain_key			text,
	OUT tracked				boolean,
	OUT changes				bigint,
	OUT oldest_change_age	interval,
	OUT last_sync			timestamptz,
	OUT generation			uuid,
	OUT rows				bigint,
	OUT segments			integer,
	OUT size				bigint,
	OUT in_use				boolean,
	OUT reason				text
) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 100 ROWS 10
	AS 'MODULE_PATHNAME', 'brain_sync_status';
COMMENT ON FUNCTION brain._sync_status(regclass, text) IS
	'the bases and change logs of the brain runs of a dataset, or with NULL of all, that the caller may see (internal; read brain.sync_status)';

CREATE VIEW brain.sync_status AS
	SELECT * FROM brain._sync_status() ORDER BY samples::pg_catalog.text COLLATE "C", brain_key COLLATE "C";
GRANT SELECT ON brain.sync_status TO PUBLIC;
COMMENT ON VIEW brain.sync_status IS
	'for each brain run that one may see: its change log (rows, age of the oldest), its base (last sync, generation, rows, segments, bytes), whether searches use it, and why not';

CREATE FUNCTION brain.sweep(OUT kind text, OUT name text) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 10
	AS 'MODULE_PATHNAME', 'brain_sweep';
REVOKE ALL ON FUNCTION brain.sweep() FROM PUBLIC;
COMMENT ON FUNCTION brain.sweep() IS
	'remove matrix files, triggers and log rows that belong to no brain run; returns what was removed';

CREATE FUNCTION brain.last_search() RETURNS jsonb
	LANGUAGE c VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'brain_last_search';
COMMENT ON FUNCTION brain.last_search() IS
	'how the last search of this session was answered: path (matrix or table), reason, and how many rows each stage read';

-- ---------------------------------------------------------------------------
-- Searching
-- ---------------------------------------------------------------------------

CREATE FUNCTION brain.neighbors(
	samples			regclass,
	brain_key		text,
	k				integer DEFAULT 10,
	max_distance	double precision DEFAULT NULL,
	filter			text DEFAULT NULL,
	options			jsonb DEFAULT NULL
) RETURNS TABLE (sample_id text, rank integer, neighbor_id text, distance double precision, score double precision)
	LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000000 ROWS 10000
	AS 'MODULE_PATHNAME', 'brain_neighbors';
COMMENT ON FUNCTION brain.neighbors(regclass, text, integer, double precision, text, jsonb) IS
	'the k nearest neighbours of every sample of an index, without itself';

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
					   'supports_prompts', r.supports_prompts),
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

-- ---------------------------------------------------------------------------
-- Runs live with their dataset
-- ---------------------------------------------------------------------------

-- As before, and CREATE TABLE: a new partition needs a trigger of its own.
DROP EVENT TRIGGER milvus_brain_on_ddl_end;
CREATE EVENT TRIGGER milvus_brain_on_ddl_end ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER INDEX', 'ALTER SCHEMA',
				 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER OPERATOR', 'ALTER TYPE', 'ALTER DOMAIN', 'ALTER COLLATION',
				 'CREATE FUNCTION', 'CREATE OPERATOR', 'CREATE TYPE', 'CREATE DOMAIN', 'CREATE COLLATION',
				 'CREATE TABLE')
	EXECUTE FUNCTION brain._on_ddl_end();
COMMENT ON EVENT TRIGGER milvus_brain_on_ddl_end IS 'lets the names in brain._runs follow renames, and keeps datasets tracked';
ALTER EVENT TRIGGER milvus_brain_on_ddl_end ENABLE ALWAYS;
