-- A database in which a run is a milvus run with a FLAT index, if nothing else is
-- said: so the specifications say nothing of it, and Milvus finds the nearest.

CREATE EXTENSION milvus_brain;
CREATE SERVER milvus FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri :'uri');
GRANT USAGE ON FOREIGN SERVER milvus TO PUBLIC;
ALTER DATABASE isolation_milvus SET brain.default_similarity_backend = 'milvus';

DO $$
DECLARE
	compute text;
BEGIN
	SELECT pg_get_functiondef(oid) INTO STRICT compute FROM pg_proc WHERE proname = 'compute_similarity';
	compute := replace(compute, 'server text DEFAULT NULL::text', 'server text DEFAULT ''milvus''');
	compute := replace(compute, 'options jsonb DEFAULT NULL::jsonb', 'options jsonb DEFAULT ''{"index_type": "FLAT"}''');
	EXECUTE compute;
END $$;
