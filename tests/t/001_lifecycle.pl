# Runs live with their dataset: they must follow every rename, go with every
# drop, say why they are broken and work again when that is mended; no call may
# leave anything behind that was rolled back; DROP EXTENSION must leave user
# tables as they were and nothing of ours.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 2\n");
$node->start;

my $db = 'postgres';
sub sql { return $node->safe_psql($db, $_[0]); }

# SQLSTATE, message and hint of a statement that has to fail
sub error
{
	my ($statement) = @_;
	my ($out, $err);
	my $rc = $node->psql($db, $statement, stdout => \$out, stderr => \$err,
		extra_params => [ '--set', 'VERBOSITY=verbose' ]);
	return $rc == 0 ? 'no error' : $err;
}

# A table of n samples, three coordinates each; sample i is the same everywhere.
sub make_table
{
	my ($name, $n) = @_;
	$n //= 30;
	return qq{
		CREATE TABLE $name (id int PRIMARY KEY, label text, embedding real[]);
		INSERT INTO $name
		SELECT i, 'l' || i % 3, ARRAY[cos(i), sin(2 * i), (i % 7) / 7.0]::real[]
		  FROM generate_series(1, $n) i;};
}

sub compute
{
	my ($table, $key, $more) = @_;
	$more = $more ? ", $more" : '';
	return "SELECT brain_key FROM brain.compute_similarity('$table', '$key', metric => 'euclidean'$more);";
}

# What a search has to find, in plain SQL over the real values.
sub reference
{
	my ($table, $id, $embedding, $query, $where) = @_;
	$where //= 'true';
	return sql(qq{
		SELECT string_agg(id || ' ' || round(distance::numeric, 9), ',' ORDER BY first DESC, distance, id COLLATE "C")
		  FROM (SELECT s.$id\::text AS id, s.$id\::text = '$query' AS first,
					   (SELECT sqrt(sum((a::float8 - b::float8) ^ 2)) FROM unnest(s.$embedding, q.$embedding) AS u(a, b)) AS distance
				  FROM $table s, $table q WHERE q.$id\::text = '$query' AND ($where)) x});
}

sub found
{
	my ($table, $key, $query) = @_;
	return sql(qq{
		SELECT string_agg(sample_id || ' ' || round(distance::numeric, 9), ',' ORDER BY rank)
		  FROM brain.sort_by_similarity('$table', '$query'::text, k => NULL, brain_key => '$key')});
}

sub state_of
{
	my ($table, $key) = @_;
	return sql("SELECT state || coalesce(': ' || reason, '') FROM brain.list_brain_runs('$table') WHERE brain_key = '$key'");
}

# The names that a dump would have.
sub names
{
	my ($key) = @_;
	return sql("SELECT concat_ws('|', dataset_schema, dataset_name, id_field, embeddings_field) FROM brain._runs WHERE brain_key = '$key'");
}

# How many rows of ours there are: runs, bindings, stored embeddings.
sub counts
{
	return sql("SELECT (SELECT count(*) FROM brain._runs) || ' ' || (SELECT count(*) FROM brain._run_bindings) || ' ' || (SELECT count(*) FROM brain.embeddings)");
}

sql('CREATE EXTENSION milvus_brain');

# ---------- renames ----------

{
	sql(make_table('renamed'));
	sql(compute('renamed', 'col'));
	sql(compute('renamed', 'filtered', q{filter => $$label <> 'l2'$$}));
	sql(compute('renamed', 'hand', 'with_data => false'));
	sql(q{SELECT brain.add_to_index('renamed', 'hand', id, embedding) FROM renamed WHERE id <= 10});

	my ($table, $id, $embedding, $label) = ('renamed', 'id', 'embedding', 'label');
	my $all = reference($table, $id, $embedding, 7);
	my $some = reference($table, $id, $embedding, 7, "s.label <> 'l2'");
	my $ten = reference($table, $id, $embedding, 7, 's.id <= 10');

	for my $step (
		[ 'table renamed', 'ALTER TABLE renamed RENAME TO "Odd ""name"" é"', '"Odd ""name"" é"', 'public|Odd "name" é|id|embedding' ],
		[ 'SET SCHEMA', 'CREATE SCHEMA "my schema"; ALTER TABLE "Odd ""name"" é" SET SCHEMA "my schema"',
			'"my schema"."Odd ""name"" é"', 'my schema|Odd "name" é|id|embedding' ],
		[ 'key column renamed', 'ALTER TABLE "my schema"."Odd ""name"" é" RENAME COLUMN id TO "the id"',
			'"my schema"."Odd ""name"" é"', 'my schema|Odd "name" é|the id|embedding' ],
		[ 'embeddings column renamed', 'ALTER TABLE "my schema"."Odd ""name"" é" RENAME embedding TO "e%m"',
			'"my schema"."Odd ""name"" é"', 'my schema|Odd "name" é|the id|e%m' ],
		[ 'filter column renamed', 'ALTER TABLE "my schema"."Odd ""name"" é" RENAME COLUMN label TO "select"',
			'"my schema"."Odd ""name"" é"', 'my schema|Odd "name" é|the id|e%m' ],
		[ 'schema renamed', 'ALTER SCHEMA "my schema" RENAME TO other',
			'other."Odd ""name"" é"', 'other|Odd "name" é|the id|e%m' ],
		[ 'column and table renamed in one transaction',
			'BEGIN; ALTER TABLE other."Odd ""name"" é" RENAME COLUMN "the id" TO id; ALTER TABLE other."Odd ""name"" é" RENAME TO t; COMMIT',
			'other.t', 'other|t|id|e%m' ],
		[ 'columns renamed crosswise',
			'BEGIN; ALTER TABLE other.t RENAME COLUMN "e%m" TO x; ALTER TABLE other.t RENAME COLUMN "select" TO "e%m"; ALTER TABLE other.t RENAME COLUMN x TO label; COMMIT',
			'other.t', 'other|t|id|label' ],
		[ 'renamed and back, rolled back',
			'BEGIN; ALTER TABLE other.t RENAME TO u; ALTER TABLE other.u RENAME COLUMN id TO i; ROLLBACK', 'other.t', 'other|t|id|label' ],
		[ 'rolled back to a savepoint',
			'BEGIN; ALTER TABLE other.t RENAME TO u; SAVEPOINT s; ALTER TABLE other.u RENAME TO v; ROLLBACK TO s; COMMIT', 'other.u', 'other|u|id|label' ],
		[ 'renamed by a replication role', 'SET session_replication_role = replica; ALTER TABLE other.u RENAME TO w; ALTER TABLE other.w RENAME COLUMN id TO nr', 'other.w', 'other|w|nr|label' ],
		[ 'and back', 'ALTER TABLE other.w RENAME TO u; ALTER TABLE other.u RENAME COLUMN nr TO id', 'other.u', 'other|u|id|label' ],
		[ 'by ALTER INDEX, which renames tables too', 'ALTER INDEX other.u RENAME TO t', 'other.t', 'other|t|id|label' ])
	{
		my ($what, $ddl, $name, $names) = @$step;
		sql($ddl);
		is(names('col'), $names, "$what: the record follows");
		is(found($name, 'col', 7), $all, "$what: the same is found");
		is(found($name, 'filtered', 7), $some, "$what: the same is found under the run's filter");
		is(found($name, 'hand', 7), $ten, "$what: the same is found in stored embeddings");
		is(sql("SELECT string_agg(brain_key || ' ' || state, ',') FROM brain.list_brain_runs('$name')"),
			'col ready,filtered ready,hand ready', "$what: all runs are ready");
	}
	is(sql("SELECT filter FROM brain.list_brain_runs('other.t') WHERE brain_key = 'filtered'"),
		q{("e%m" <> 'l2'::text)}, 'the filter follows its column, as text');
	is(sql("SELECT filter FROM brain._runs WHERE brain_key = 'filtered'"),
		q{("e%m" <> 'l2'::text)}, 'and so in the record');
	sql('DROP SCHEMA other CASCADE');
}

# two tables that change names
{
	sql(make_table('one', 10) . make_table('two', 20) . compute('one', 'key') . compute('two', 'key'));
	my ($one, $two) = (found('one', 'key', 3), found('two', 'key', 3));
	isnt($one, $two, 'the two differ');
	sql('BEGIN; ALTER TABLE one RENAME TO tmp; ALTER TABLE two RENAME TO one; ALTER TABLE tmp RENAME TO two; COMMIT');
	is(found('two', 'key', 3), $one, 'names exchanged: the run of the first went along');
	is(found('one', 'key', 3), $two, 'names exchanged: the run of the second went along');
	is(sql(q{SELECT string_agg(r.dataset_name || ' ' || r.indexed || ' ' || b.dataset::regclass, ',' ORDER BY r.dataset_name)
			   FROM brain._runs r JOIN brain._run_bindings b USING (run_id)}),
		'one 20 one,two 10 two', 'and the records');
	sql('DROP TABLE one, two');
}

# every other kind of dataset
{
	sql(make_table('base'));
	sql(q{
		CREATE VIEW a_view AS SELECT * FROM base;
		CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM base;
		CREATE TABLE a_partitioned (LIKE base, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE a_partition PARTITION OF a_partitioned FOR VALUES FROM (1) TO (20);
		CREATE TABLE a_default PARTITION OF a_partitioned DEFAULT;
		INSERT INTO a_partitioned SELECT * FROM base;
		CREATE UNLOGGED TABLE an_unlogged (LIKE base INCLUDING ALL);
		INSERT INTO an_unlogged SELECT * FROM base;
		CREATE FOREIGN DATA WRAPPER nothing;
		CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
		CREATE FOREIGN TABLE a_foreign (id int, label text, embedding real[]) SERVER nowhere;
		CREATE SCHEMA elsewhere;
		CREATE SCHEMA third;
	});
	my $right = reference('base', 'id', 'embedding', 7);
	for my $kind (
		[ 'a_view', 'VIEW' ], [ 'a_matview', 'MATERIALIZED VIEW' ], [ 'a_partitioned', 'TABLE' ],
		[ 'an_unlogged', 'TABLE' ], [ 'a_foreign', 'FOREIGN TABLE' ])
	{
		my ($name, $type) = @$kind;
		my $is_foreign = $type eq 'FOREIGN TABLE';
		sql(compute($name, 'col', q{id_field => 'id', embeddings => 'embedding'} . ($is_foreign ? ', with_data => false' : '')));
		is(found($name, 'col', 7), $right, "$name: found") unless $is_foreign;
		sql(qq{
			ALTER $type $name RENAME TO "New $name";
			ALTER $type "New $name" RENAME COLUMN embedding TO e;
			ALTER $type "New $name" RENAME COLUMN id TO "Id";
			ALTER $type "New $name" SET SCHEMA elsewhere;
			ALTER SCHEMA elsewhere RENAME TO elsewhere2;});
		my $expected = "elsewhere2|New $name|Id|e";
		is(names('col'), $expected, "$name: the record follows renames");
		is(found("elsewhere2.\"New $name\"", 'col', 7), $right, "$name: still found") unless $is_foreign;
		# the same by ALTER TABLE, which all of these accept
		sql(qq{
			ALTER TABLE elsewhere2."New $name" RENAME TO again;
			ALTER TABLE elsewhere2.again RENAME COLUMN e TO embedding;
			ALTER TABLE elsewhere2.again SET SCHEMA third;});
		is(names('col'), 'third|again|Id|embedding', "$name: by ALTER TABLE too");
		sql("DROP $type third.again; ALTER SCHEMA elsewhere2 RENAME TO elsewhere");
		is(counts(), '0 0 0', "$name: DROP $type takes the run along");
	}
	# a partition of its own, whose parent is dropped
	sql(q{
		CREATE TABLE parent (id int, embedding real[], PRIMARY KEY (id)) PARTITION BY LIST (id);
		CREATE TABLE child PARTITION OF parent FOR VALUES IN (1);
		INSERT INTO parent VALUES (1, '{1,2}');
	} . compute('child', 'key') . compute('parent', 'key'));
	is(counts(), '2 2 0', 'a run on a partition and one on its parent');
	sql('ALTER TABLE parent DETACH PARTITION child');
	is(state_of('child', 'key'), 'ready', 'detached: the partition keeps its run');
	sql('ALTER TABLE parent ATTACH PARTITION child FOR VALUES IN (1); DROP TABLE parent');
	is(counts(), '0 0 0', 'dropped with the parent: both runs are gone');
	sql('DROP TABLE base CASCADE; DROP FOREIGN DATA WRAPPER nothing CASCADE');
}

# ---------- drops ----------

{
	sql('CREATE ROLE alice; CREATE SCHEMA alice AUTHORIZATION alice; CREATE SCHEMA doomed; GRANT CREATE ON SCHEMA doomed TO alice');
	my $stay = make_table('stays') . compute('stays', 'col') . compute('stays', 'hand', 'with_data => false') .
	  q{SELECT brain.add_to_index('stays', 'hand', id, embedding) FROM stays WHERE id <= 2;};
	sql($stay);
	my $before = counts();
	is($before, '2 2 2', 'what stays');

	for my $drop (
		[ 'DROP TABLE', 'public.goes', 'DROP TABLE goes' ],
		[ 'DROP TABLE CASCADE', 'public.goes', 'DROP TABLE goes CASCADE' ],
		[ 'DROP TABLE IF EXISTS of several', 'public.goes', 'CREATE TABLE other (); DROP TABLE IF EXISTS nothing, other, goes' ],
		[ 'DROP SCHEMA CASCADE', 'doomed.goes', 'DROP SCHEMA doomed CASCADE; CREATE SCHEMA doomed; GRANT CREATE ON SCHEMA doomed TO alice' ],
		[ 'the owner drops, who is not superuser', 'alice.goes', 'ALTER TABLE alice.goes OWNER TO alice; SET ROLE alice; DROP TABLE alice.goes' ],
		[ 'DROP OWNED', 'alice.goes', 'ALTER TABLE alice.goes OWNER TO alice; DROP OWNED BY alice; CREATE SCHEMA alice AUTHORIZATION alice; GRANT CREATE ON SCHEMA doomed TO alice' ],
		[ 'DROP OWNED by that role', 'alice.goes', 'ALTER TABLE alice.goes OWNER TO alice; SET ROLE alice; DROP OWNED BY alice; RESET ROLE; CREATE SCHEMA alice AUTHORIZATION alice; GRANT CREATE ON SCHEMA doomed TO alice' ],
		[ 'as a replication role', 'public.goes', q{SET session_replication_role = replica; DROP TABLE goes} ],
		[ 'in a DO block', 'public.goes', q{DO $$ BEGIN EXECUTE 'DROP TABLE goes'; END $$} ],
		[ 'renamed and dropped at once', 'public.goes', 'BEGIN; ALTER TABLE goes RENAME TO went; DROP TABLE went; COMMIT' ],
		[ 'made, computed and dropped in one transaction', 'public.goes',
			"BEGIN; " . make_table('brief') . compute('brief', 'key') . ' DROP TABLE brief; DROP TABLE goes; COMMIT' ])
	{
		my ($what, $name, $ddl) = @$drop;
		sql(make_table($name) . compute($name, 'col') . compute($name, 'filtered', q{filter => 'id > 3'}) . compute($name, 'hand', 'with_data => false') .
			"SELECT brain.add_to_index('$name', 'hand', id, embedding) FROM $name;");
		is(counts(), '5 5 32', "$what: three runs more");
		sql($ddl);
		is(counts(), $before, "$what: they are gone, with their embeddings");
		# the same name again is another dataset
		sql("DROP TABLE IF EXISTS $name;" . make_table($name, 3));
		is(sql("SELECT count(*) FROM brain.list_brain_runs('$name')"), '0', "$what: a new table of that name has no runs");
		sql("DROP TABLE $name");
	}

	# a view that goes with its table
	sql(make_table('below') . 'CREATE VIEW above AS SELECT * FROM below;' .
		compute('above', 'col', q{id_field => 'id'}) . 'DROP TABLE below CASCADE');
	is(counts(), $before, 'a view dropped by cascade takes its run along');

	# rolled back
	sql(make_table('goes') . compute('goes', 'hand', 'with_data => false') .
		q{SELECT brain.add_to_index('goes', 'hand', 1, '[1,2,3]'); BEGIN; DROP TABLE goes; ROLLBACK;
		  BEGIN; SAVEPOINT s; DROP TABLE goes; ROLLBACK TO s; COMMIT;});
	is(counts(), '3 3 3', 'a drop that is rolled back takes nothing');
	is(found('goes', 'hand', 1), '1 0.000000000', 'and the run works');

	# what is not a drop of the dataset
	sql(q{
		ALTER TABLE goes ADD COLUMN extra int, ADD CONSTRAINT positive CHECK (id > 0);
		CREATE INDEX goes_label ON goes (label);
		CREATE POLICY p ON goes; CREATE RULE r AS ON DELETE TO goes DO ALSO NOTHING;
		CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER t AFTER INSERT ON goes EXECUTE FUNCTION nothing();
		DROP TRIGGER t ON goes; DROP RULE r ON goes; DROP POLICY p ON goes; DROP INDEX goes_label;
		ALTER TABLE goes DROP CONSTRAINT positive; ALTER TABLE goes DROP COLUMN extra; ALTER TABLE goes DROP COLUMN label;
		TRUNCATE goes; INSERT INTO goes VALUES (1);});
	is(counts(), '3 3 3', 'columns, indexes, constraints, triggers, rules, policies, TRUNCATE: the run stays');
	is(found('goes', 'hand', 1), '1 0.000000000', 'and works');

	# REASSIGN OWNED changes who may, and nothing else
	sql('ALTER TABLE goes OWNER TO alice; CREATE ROLE bob; REASSIGN OWNED BY alice TO bob; SET ROLE bob; ' .
		q{SELECT brain.rename_brain_run('goes', 'hand', 'bobs')});
	is(found('goes', 'bobs', 1), '1 0.000000000', 'REASSIGN OWNED: the new owner renames the run');
	sql('DROP OWNED BY bob; DROP TABLE stays; DROP OWNED BY alice; DROP SCHEMA IF EXISTS alice CASCADE; DROP SCHEMA doomed CASCADE; DROP ROLE alice, bob');
	is(counts(), '0 0 0', 'nothing is left');
}

# ---------- broken and mended ----------

{
	for my $case (
		[ 'column dropped', 'col', 'ALTER TABLE t DROP COLUMN embedding', 'column "embedding" does not exist',
			'ALTER TABLE t ADD COLUMN embedding real[]; UPDATE t SET embedding = b.embedding FROM backup b WHERE b.id = t.id' ],
		[ 'column dropped, another one renamed to its name', 'col',
			'ALTER TABLE t DROP COLUMN embedding', 'column "embedding" does not exist',
			'ALTER TABLE t ADD COLUMN fresh double precision[]; UPDATE t SET fresh = b.embedding::float8[] FROM backup b WHERE b.id = t.id; ALTER TABLE t RENAME COLUMN fresh TO embedding' ],
		[ 'type changed', 'col', 'ALTER TABLE t ALTER COLUMN embedding TYPE text USING embedding::text', qr/column "embedding".*(text|type)/,
			'ALTER TABLE t ALTER COLUMN embedding TYPE real[] USING embedding::real[]' ],
		[ 'type dropped below the column', 'col',
			'CREATE DOMAIN vec AS real[]; ALTER TABLE t ALTER COLUMN embedding TYPE vec; DROP DOMAIN vec CASCADE', 'column "embedding" does not exist',
			'ALTER TABLE t ADD COLUMN embedding real[]; UPDATE t SET embedding = b.embedding FROM backup b WHERE b.id = t.id' ],
		[ 'key column dropped', 'col', 'ALTER TABLE t DROP COLUMN id', 'column "id" does not exist',
			'ALTER TABLE t ADD COLUMN id int; UPDATE t SET id = b.id FROM backup b WHERE b.embedding = t.embedding; ALTER TABLE t ADD PRIMARY KEY (id)' ],
		[ 'primary key dropped', 'col', 'ALTER TABLE t DROP CONSTRAINT t_pkey', qr/id/, 'ALTER TABLE t ADD PRIMARY KEY (id)' ],
		[ 'key nullable', 'col', 'ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD UNIQUE (id); ALTER TABLE t ALTER COLUMN id DROP NOT NULL', qr/id.*(NULL|null)/,
			'ALTER TABLE t ALTER COLUMN id SET NOT NULL' ],
		[ 'filter column dropped', 'filtered', 'ALTER TABLE t DROP COLUMN label', [ 'something that its filter uses was dropped or changed', qr/filter.*column "label" does not exist/ ],
			'ALTER TABLE t ADD COLUMN label text; UPDATE t SET label = b.label FROM backup b WHERE b.id = t.id' ],
		[ 'filter column of another type', 'filtered', 'ALTER TABLE t ALTER COLUMN label TYPE bytea USING label::bytea', qr/filter/,
			q{ALTER TABLE t ALTER COLUMN label TYPE text USING encode(label, 'escape')} ],
		[ 'function in the filter dropped', 'by_function', 'DROP FUNCTION good(text)', [ 'something that its filter uses was dropped or changed', qr/filter.*good/ ],
			q{CREATE FUNCTION good(label text) RETURNS boolean IMMUTABLE RETURN label <> 'l2'} ],
		[ 'inheritance child', 'col', 'CREATE TABLE c () INHERITS (t)', qr/inherit/, 'DROP TABLE c' ])
	{
		my ($what, $key, $break, $reason, $mend) = @$case;
		# a look at the catalog parses no filter, so a search may know more
		my ($in_catalog, $in_search) = ref $reason eq 'ARRAY' ? @$reason : ($reason, $reason);
		sql(make_table('t') . 'CREATE TABLE backup AS TABLE t;' .
			q{CREATE FUNCTION good(label text) RETURNS boolean IMMUTABLE RETURN label <> 'l2';} .
			compute('t', 'col') . compute('t', 'filtered', q{filter => $$label <> 'l2'$$}) .
			compute('t', 'by_function', q{filter => 'good(label)'}) . compute('t', 'hand', 'with_data => false'));
		my $right = found('t', $key, 7);
		is($right, reference('t', 'id', 'embedding', 7, $key eq 'col' ? 'true' : "s.label <> 'l2'"), "$what: before");
		sql($break);
		my $state = state_of('t', $key);
		if (ref $in_catalog) { like($state, qr/^broken: .*$in_catalog/, "$what: broken, with the reason"); }
		else { is($state, "broken: $in_catalog", "$what: broken, with the reason"); }
		my $search = error("SELECT * FROM brain.sort_by_similarity('t', '[1,2,3]'::text, brain_key => '$key')");
		like($search, qr/ERROR:  55000: brain run "$key" of "t" is broken\nDETAIL:  .*\nHINT:  \S/, "$what: a search says so");
		like($search, ref $in_search ? $in_search : qr/\Q$in_search/, "$what: and why");
		like(error("SELECT * FROM brain.load_brain_results('t', '$key')"), qr/ERROR:  55000: .*broken/, "$what: load_brain_results says so");
		is(sql("SELECT brain.get_brain_info('t', '$key')->'index'->>'state'"), 'broken', "$what: get_brain_info says so");
		ok(sql("SELECT brain.has_brain_run('t', '$key')") eq 't', "$what: the run is still there");
		# other renames while it is broken
		sql('ALTER TABLE t RENAME TO t2');
		is(sql("SELECT state FROM brain.list_brain_runs('t2') WHERE brain_key = '$key'"), 'broken', "$what: it can be renamed");
		sql("ALTER TABLE t2 RENAME TO t; $mend");
		is(state_of('t', $key), 'ready', "$what: mended");
		is(found('t', $key, 7), $right, "$what: the same is found as before");
		sql('DROP TABLE t, backup CASCADE; DROP FUNCTION IF EXISTS good(text)');
		is(counts(), '0 0 0', "$what: nothing is left");
	}

	# changes that break nothing
	sql(make_table('t') . compute('t', 'col') . compute('t', 'filtered', q{filter => $$label <> 'l2'$$}));
	my ($all, $some) = (found('t', 'col', 7), found('t', 'filtered', 7));
	for my $change (
		[ 'real[] to double precision[]', 'ALTER TABLE t ALTER COLUMN embedding TYPE double precision[]' ],
		[ 'int key to bigint', 'ALTER TABLE t ALTER COLUMN id TYPE bigint' ],
		[ 'SET UNLOGGED', 'ALTER TABLE t SET UNLOGGED' ], [ 'SET LOGGED', 'ALTER TABLE t SET LOGGED' ],
		[ 'VACUUM FULL', 'VACUUM FULL t' ], [ 'CLUSTER', 'CLUSTER t USING t_pkey' ], [ 'ANALYZE', 'ANALYZE t' ],
		[ 'REINDEX', 'REINDEX TABLE t' ],
		[ 'a column before', 'ALTER TABLE t ADD COLUMN embedding2 real[], ADD COLUMN x int GENERATED ALWAYS AS (id * 2) STORED' ],
		[ 'key by another index', 'ALTER TABLE t DROP CONSTRAINT t_pkey, ADD UNIQUE (id)' ],
		[ 'constraint renamed', 'ALTER TABLE t RENAME CONSTRAINT t_id_key TO other_name' ])
	{
		my ($what, $ddl) = @$change;
		sql($ddl);
		is(found('t', 'col', 7), $all, "$what: the same is found");
		is(found('t', 'filtered', 7), $some, "$what: and under the filter");
	}
	sql(q{ALTER TABLE t DROP COLUMN x; ALTER TABLE t ALTER COLUMN id TYPE text USING 'x' || id});
	is(sql(q{SELECT sample_id FROM brain.sort_by_similarity('t', 'x7', k => 1, brain_key => 'col')}), 'x7', 'key of another type: asked by the new id');

	# what can be done with a broken run
	sql('ALTER TABLE t DROP COLUMN embedding');
	sql(q{SELECT brain.rename_brain_run('t', 'col', 'renamed')});
	like(state_of('t', 'renamed'), qr/^broken: /, 'a broken run can be renamed');
	sql(q{SELECT brain.cleanup('t', 'filtered')});
	sql(q{SELECT brain.delete_brain_run('t', 'filtered')});
	is(sql(q{SELECT brain_key FROM brain.compute_similarity('t', 'renamed', 'embedding2', id_field => 'id', overwrite => true)}), 'renamed', 'computed anew over another column');
	is(state_of('t', 'renamed'), 'ready', 'and ready');
	is(sql(q{SELECT brain.delete_brain_runs('t')}), '1', 'deleted');
	sql('DROP TABLE t');
	is(counts(), '0 0 0', 'nothing is left');
}

# pgvector's types, and pgvector itself
SKIP:
{
	skip 'pgvector is not there', 19 if $ENV{MILVUS_BRAIN_LACKS} =~ /\bpgvector\b/;

	sql('CREATE SCHEMA ext; CREATE EXTENSION vector SCHEMA ext;' . make_table('t') . 'CREATE TABLE backup AS TABLE t; ' .
		'ALTER TABLE t ALTER COLUMN embedding TYPE ext.vector(3) USING embedding::ext.vector(3);' . compute('t', 'col') . compute('t', 'hand', 'with_data => false') .
		q{SELECT brain.add_to_index('t', 'hand', id, embedding) FROM t WHERE id <= 10});
	my $right = reference('backup', 'id', 'embedding', 7);
	my $ten = reference('backup', 'id', 'embedding', 7, 's.id <= 10');
	is(found('t', 'col', 7), $right, 'vector: found');
	for my $change (
		[ 'vector to real[]', 'ALTER TABLE t ALTER COLUMN embedding TYPE real[] USING embedding::real[]' ],
		[ 'real[] to vector', 'ALTER TABLE t ALTER COLUMN embedding TYPE ext.vector USING embedding::ext.vector' ],
		[ 'ALTER EXTENSION vector SET SCHEMA', 'CREATE SCHEMA ext2; ALTER EXTENSION vector SET SCHEMA ext2' ],
		[ 'its schema renamed', 'ALTER SCHEMA ext2 RENAME TO ext3' ])
	{
		my ($what, $ddl) = @$change;
		sql($ddl);
		is(state_of('t', 'col'), 'ready', "$what: ready");
		is(found('t', 'col', 7), $right, "$what: the same is found");
		is(found('t', 'hand', 7), $ten, "$what: and in stored embeddings");
	}
	sql('DROP EXTENSION vector CASCADE');
	is(state_of('t', 'col'), 'broken: column "embedding" does not exist', 'DROP EXTENSION vector CASCADE took the column: broken');
	is(found('t', 'hand', 7), $ten, 'stored embeddings do not need it');
	sql('CREATE EXTENSION vector; ALTER TABLE t ADD COLUMN embedding vector(3); UPDATE t SET embedding = b.embedding::vector FROM backup b WHERE b.id = t.id');
	is(state_of('t', 'col'), 'ready', 'vector is back: mended');
	is(found('t', 'col', 7), $right, 'and the same is found');
	sql('ALTER TABLE t ALTER COLUMN embedding TYPE halfvec(3)');
	is(state_of('t', 'col'), 'ready', 'vector to halfvec: ready');
	is(found('t', 'col', 7), sql(q{
		SELECT string_agg(id || ' ' || round(d::numeric, 9), ',' ORDER BY id <> 7, d, id::text COLLATE "C") FROM (
			SELECT s.id, (SELECT sqrt(sum((a::float8 - b::float8) ^ 2)) FROM unnest(s.embedding::vector::real[], q.embedding::vector::real[]) u(a, b)) AS d
			  FROM t s, t q WHERE q.id = 7) x}), 'vector to halfvec: its rounded values are found');
	sql('DROP TABLE t, backup; DROP EXTENSION vector; DROP SCHEMA ext, ext3');
}

# The names of a run may clash with those of one whose dataset is missing: that
# must not forbid the user's rename.
{
	sql(make_table('t', 5) . make_table('u', 7) . compute('t', 'key') . compute('u', 'key'));
	sql(q{
		DELETE FROM brain._run_bindings WHERE dataset = 't'::regclass;
		ALTER EVENT TRIGGER milvus_brain_on_drop DISABLE; DROP TABLE t; ALTER EVENT TRIGGER milvus_brain_on_drop ENABLE ALWAYS;});
	is(sql(q{SELECT count(*) FROM brain.runs WHERE samples IS NULL AND state = 'broken' AND reason = 'dataset "public.t" does not exist'}),
		'1', 'a run as after a restore without its dataset');
	is(error('ALTER TABLE u RENAME TO t'), 'no error', 'another table may take the name of the missing one');
	is(sql(q{SELECT string_agg(samples || ' ' || brain_key || ' ' || indexed || ' ' || state, ',') FROM brain.runs}),
		't key 7 ready', 'and keeps its own run, the only one of that name');
	sql(q{DROP TABLE IF EXISTS t, u; DELETE FROM brain._runs; DELETE FROM brain._run_bindings});
}

# ---------- rolled back, failed ----------

# All that calls can change.
sub snapshot_sql
{
	return q{SELECT md5(concat((SELECT string_agg(r::text, '|' ORDER BY run_id) FROM brain._runs r),
				(SELECT string_agg(b::text, '|' ORDER BY run_id) FROM brain._run_bindings b),
				(SELECT string_agg(e::text, '|' ORDER BY run_id, sample_id) FROM brain.embeddings e),
				(SELECT string_agg(b::text, '|' ORDER BY run_id) FROM brain._bases b),
				(SELECT string_agg(c::text, '|' ORDER BY c::text COLLATE "C") FROM brain.changes c),
				(SELECT string_agg(t::text, '|' ORDER BY id) FROM t)))};
}

{
	my %calls = (
		compute_similarity => [
			q{SELECT brain.compute_similarity('t', 'new')},
			q{SELECT brain.compute_similarity('t', 'new', with_data => false)},
			q{SELECT brain.compute_similarity('t', 'col', overwrite => true)},
			q{SELECT brain.compute_similarity('t', 'hand', with_data => false, overwrite => true)} ],
		add_to_index => [
			q{SELECT brain.add_to_index('t', 'hand', 5, '[1,2,3]')},
			q{SELECT brain.add_to_index('t', 'hand', id, embedding) FROM t},
			q{SELECT brain.add_to_index('t', 'empty', 5, '[1,2,3]')},
			q{SELECT brain.add_to_index('t', 'col', ARRAY[5, 6], '[[1,2,3],[4,5,6]]')} ],
		remove_from_index => [
			q{SELECT brain.remove_from_index('t', 'hand', 1)},
			q{SELECT brain.remove_from_index('t', 'col', ARRAY[1, 2])} ],
		rename_brain_run => [ q{SELECT brain.rename_brain_run('t', 'col', 'new')} ],
		delete_brain_run => [
			q{SELECT brain.delete_brain_run('t', 'col')},
			q{SELECT brain.delete_brain_run('t', 'hand', cleanup => true)} ],
		delete_index => [ q{SELECT brain.delete_index('t', 'col')} ],
		delete_brain_runs => [ q{SELECT brain.delete_brain_runs('t')}, q{SELECT brain.delete_brain_runs('t', cleanup => true)} ],
		cleanup => [ q{SELECT brain.cleanup('t', 'col')}, q{SELECT brain.cleanup('t', 'hand')} ],
		sync => [
			q{SELECT brain.sync('t', 'col')},
			q{SELECT brain.sync('t', 'hand')},
			q{SELECT brain.sync()} ],
		sweep => [ q{SELECT brain.sweep()} ]);

	# another function that writes has to be added above
	is(sql(q{SELECT string_agg(DISTINCT proname, ' ' ORDER BY proname) FROM pg_proc
			  WHERE pronamespace = 'brain'::regnamespace AND provolatile = 'v' AND proname NOT LIKE '\_%'
			   AND proname NOT IN ('last_search', 'explain_similarity', 'health', 'milvus_fdw_validator')}),
		join(' ', sort keys %calls), 'every function that writes is tested here');

	sql(make_table('t') . compute('t', 'col') . compute('t', 'hand', 'with_data => false') . compute('t', 'empty', 'with_data => false') .
		q{SELECT brain.add_to_index('t', 'hand', id, embedding) FROM t WHERE id < 4;
		  -- something to sync, and something to sweep
		  UPDATE t SET embedding = '{3,2,1}' WHERE id = 9;
		  INSERT INTO brain.changes VALUES (gen_random_uuid(), 'r', '1', now())});
	my $before = sql(snapshot_sql());
	my $snapshot = snapshot_sql();
	for my $name (sort keys %calls)
	{
		for my $call (@{ $calls{$name} })
		{
			my ($label) = $call =~ /brain\.(.*)/;
			my $out = sql("BEGIN; \\o /dev/null\n$call;\\o\n$snapshot; ROLLBACK; $snapshot");
			my ($inside, $after) = split /\n/, $out;
			isnt($inside, $before, "$label: does something");
			is($after, $before, "$label: ROLLBACK leaves nothing");
			$out = sql("BEGIN; SAVEPOINT s; \\o /dev/null\n$call;\\o\nROLLBACK TO s; $snapshot; COMMIT; $snapshot");
			is($out, "$before\n$before", "$label: ROLLBACK TO SAVEPOINT leaves nothing");
			$out = sql("BEGIN; SAVEPOINT s; \\o /dev/null\n$call;\\o\nRELEASE s; SAVEPOINT u; SELECT 1 \\g /dev/null\nROLLBACK TO u; $snapshot; ROLLBACK; $snapshot");
			isnt((split /\n/, $out)[0], $before, "$label: RELEASE SAVEPOINT keeps it");
			is((split /\n/, $out)[1], $before, "$label: and ROLLBACK leaves nothing");
			(my $perform = $call) =~ s/^SELECT/PERFORM/;
			$out = sql("DO \$x\$ BEGIN BEGIN $perform; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; END \$x\$; $snapshot");
			is($out, $before, "$label: undone by an exception block");
		}
	}

	# calls that fail leave nothing, even if the transaction commits
	sql(q{INSERT INTO t VALUES (1000, 'bad', '{NaN,0,0}'), (1001, 'bad', '{1,2}'), (1002, 'bad', '{0,0,0}')});
	$before = sql(snapshot_sql());
	for my $call (
		q{compute_similarity('t', 'new')}, q{compute_similarity('t', 'col', overwrite => true)},
		q{compute_similarity('t', 'hand', 'nowhere', overwrite => true)}, q{compute_similarity('t', 'not an identifier')},
		q{compute_similarity('t', 'col')}, q{compute_similarity('t', 'new', filter => 'random() < 0.5')},
		q{add_to_index('t', 'hand', ARRAY[5, 6], '[[1,2,3],[4,5,NaN]]')}, q{add_to_index('t', 'hand', ARRAY[5, 99999], '[[1,2,3],[4,5,6]]')},
		q{add_to_index('t', 'empty', ARRAY[5, 99999], '[[1,2],[4,5]]')}, q{add_to_index('t', 'empty', ARRAY[5, 5, 6], '[[1,2],[4,5]]')},
		q{add_to_index('t', 'hand', ARRAY[5, 1], '[[1,2,3],[4,5,6]]', overwrite => false, allow_existing => false)},
		q{add_to_index('t', 'col', ARRAY[5, 6], '[[1,2,3],[4,5]]')},
		q{remove_from_index('t', 'hand', ARRAY[1, 99999], allow_missing => false)}, q{remove_from_index('t', 'col', ARRAY[1, 99999], allow_missing => false)},
		q{rename_brain_run('t', 'col', 'hand')}, q{rename_brain_run('t', 'nothing', 'new')}, q{delete_brain_run('t', 'nothing')}, q{cleanup('t', 'nothing')})
	{
		my $out = sql(qq{
			BEGIN;
			DO \$x\$ BEGIN
				PERFORM brain.$call;
				RAISE 'it did not fail';
			EXCEPTION WHEN raise_exception THEN RAISE; WHEN OTHERS THEN NULL;
			END \$x\$;
			COMMIT; $snapshot});
		is($out, $before, "$call: fails and leaves nothing");
	}
	sql('DELETE FROM t WHERE id >= 1000');

	# what comes after in the same transaction sees it
	is(sql(q{
		BEGIN; \o /dev/null
		SAVEPOINT a; SELECT brain.compute_similarity('t', 'a'); RELEASE a;
		SAVEPOINT b; SELECT brain.rename_brain_run('t', 'a', 'b'); ROLLBACK TO b;
		SAVEPOINT c; SELECT brain.rename_brain_run('t', 'a', 'c'); RELEASE c;
		SAVEPOINT d; SELECT brain.delete_brain_run('t', 'c'); ROLLBACK TO d;
		\o
		COMMIT; SELECT string_agg(brain_key, ' ') FROM brain.list_brain_runs('t')}),
		'c col empty hand', 'savepoints nest');
	is(sql(q{
		BEGIN; \o /dev/null
		SELECT brain.compute_similarity('t', 'x');
		SELECT brain.delete_brain_run('t', 'x');
		SELECT brain.compute_similarity('t', 'x');
		SELECT brain.compute_similarity('t', 'x', overwrite => true);
		SELECT brain.rename_brain_run('t', 'x', 'y');
		SELECT brain.compute_similarity('t', 'x', with_data => false);
		SELECT brain.add_to_index('t', 'x', 1, '[1,2]'), brain.add_to_index('t', 'x', 2, '[3,4]');
		SELECT brain.remove_from_index('t', 'x', 1);
		ALTER TABLE t RENAME TO u;
		SELECT brain.rename_brain_run('u', 'x', 'z');
		ALTER TABLE u RENAME TO t;
		\o
		SELECT string_agg(sample_id || ' ' || distance, ',') FROM brain.sort_by_similarity('t', '[3,4]', brain_key => 'z');
		COMMIT; SELECT string_agg(brain_key, ' ') FROM brain.list_brain_runs('t')}),
		"2 0\nc col empty hand y z", 'many calls in one transaction');

	# two-phase commit
	sql(q{BEGIN; SELECT brain.compute_similarity('t', 'two_phase'); PREPARE TRANSACTION 'one'});
	is(sql(q{SELECT brain.has_brain_run('t', 'two_phase')}), 'f', 'prepared: not there yet');
	sql(q{COMMIT PREPARED 'one'});
	is(sql(q{SELECT brain.has_brain_run('t', 'two_phase')}), 't', 'COMMIT PREPARED: there');
	sql(q{BEGIN; SELECT brain.delete_brain_run('t', 'two_phase'); PREPARE TRANSACTION 'two'});
	sql(q{ROLLBACK PREPARED 'two'});
	is(sql(q{SELECT brain.has_brain_run('t', 'two_phase')}), 't', 'ROLLBACK PREPARED: still there');
	sql('DROP TABLE t');
	is(counts(), '0 0 0', 'nothing is left');
}

# read-only transactions
{
	sql(make_table('t') . compute('t', 'col'));
	for my $call (
		q{compute_similarity('t', 'new')}, q{add_to_index('t', 'col', 1, '[1,2,3]')}, q{remove_from_index('t', 'col', 1)},
		q{rename_brain_run('t', 'col', 'new')}, q{delete_brain_run('t', 'col')}, q{delete_brain_runs('t')}, q{cleanup('t', 'col')})
	{
		like(error("BEGIN READ ONLY; SELECT brain.$call"), qr/ERROR:  25006: cannot execute \S+ in a read-only transaction/, "$call: refused in a read-only transaction");
	}
	is(sql(q{BEGIN READ ONLY; SELECT sample_id FROM brain.sort_by_similarity('t', 7, k => 1)}), '7', 'a search is not');
	sql('DROP TABLE t');
}

# ---------- DROP EXTENSION ----------

{
	$node->safe_psql('postgres', 'CREATE DATABASE dropped TEMPLATE template0');
	$db = 'dropped';
	my $catalogs = sql(q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class c
						  WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
							AND relname NOT IN ('pg_statistic', 'pg_subscription', 'pg_authid', 'pg_largeobject')});
	# the number of rows of each catalog, and what is new in those with OIDs
	my $count = sub {
		return sql(join(' UNION ALL ', map { "SELECT '$_ ' || count(*) FROM pg_catalog.$_" } split / /, $catalogs));
	};
	sql(make_table('t') . 'ANALYZE t; CREATE VIEW v AS SELECT * FROM t;');
	my $before = $count->();
	sql('CREATE EXTENSION milvus_brain');
	isnt($count->(), $before, 'CREATE EXTENSION makes something');
	sql(compute('t', 'col') . compute('t', 'filtered', q{filter => $$label <> 'l2'$$}) . compute('v', 'view', q{id_field => 'id'}) .
		compute('t', 'hand', 'with_data => false') . q{SELECT brain.add_to_index('t', 'hand', id, embedding) FROM t});
	my $right = found('t', 'col', 7);

	# a session that goes on over all this
	my $session = $node->background_psql('dropped', on_error_stop => 0);
	is($session->query(q{SELECT sample_id FROM brain.sort_by_similarity('t', 7, k => 1, brain_key => 'col')}), '7', 'a session searches');

	sql('DROP EXTENSION milvus_brain CASCADE');
	is($count->(), $before, 'DROP EXTENSION CASCADE leaves nothing in the catalogs');
	is(sql(q{SELECT count(*) FROM pg_event_trigger}), '0', 'no event trigger is left');
	is(sql(q{SELECT to_regnamespace('brain') IS NULL}), 't', 'no schema is left');
	is(sql(q{
		INSERT INTO t VALUES (100, 'x', '{1,2,3}'); UPDATE t SET label = 'y' WHERE id = 100; DELETE FROM t WHERE id = 100;
		ALTER TABLE t RENAME COLUMN label TO l; ALTER TABLE t RENAME COLUMN l TO label; ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME TO t;
		CREATE TABLE z (); DROP TABLE z; TRUNCATE t; SELECT count(*) FROM t}), '0', 'the table can be written and altered');
	sql('DROP VIEW v; DROP TABLE t');
	sql(make_table('t') . 'ANALYZE t; CREATE VIEW v AS SELECT * FROM t;');

	sql('CREATE EXTENSION milvus_brain');
	is(counts(), '0 0 0', 'made again: no runs');
	sql(compute('t', 'col'));
	is(found('t', 'col', 7), $right, 'made again: works');
	is($session->query(q{SELECT sample_id FROM brain.sort_by_similarity('t', 7, k => 1)}), '7', 'the session that was there before searches again');
	$session->quit;

	# without CASCADE, unless something of the user's needs it
	sql('DROP EXTENSION milvus_brain');
	is($count->(), $before, 'DROP EXTENSION without CASCADE leaves nothing either');
	sql('CREATE EXTENSION milvus_brain; CREATE VIEW mine AS SELECT * FROM brain.runs');
	like(error('DROP EXTENSION milvus_brain'), qr/2BP01/, 'a view of the user on brain.runs stops it');
	sql('DROP EXTENSION milvus_brain CASCADE');
	is($count->(), $before, 'and CASCADE takes it along');

	# rolled back, both ways
	sql('BEGIN; CREATE EXTENSION milvus_brain; ' . compute('t', 'col') . ' ROLLBACK');
	is($count->(), $before, 'CREATE EXTENSION rolled back');
	sql('CREATE EXTENSION milvus_brain; ' . compute('t', 'col') . ' BEGIN; DROP EXTENSION milvus_brain CASCADE; ROLLBACK');
	is(found('t', 'col', 7), $right, 'DROP EXTENSION rolled back: the run works');
	sql('BEGIN; DROP EXTENSION milvus_brain; CREATE EXTENSION milvus_brain; COMMIT');
	is(counts(), '0 0 0', 'dropped and made in one transaction');
	sql(compute('t', 'col'));

	# what belongs to the extension is not to be renamed away
	for my $ddl ('ALTER SCHEMA brain RENAME TO other', 'ALTER TABLE brain._runs RENAME TO other', 'ALTER TABLE brain._runs SET SCHEMA public', 'DROP TABLE brain._runs')
	{
		isnt(error($ddl), 'no error', "$ddl: refused");
	}
	is(found('t', 'col', 7), $right, 'and all works on');
	sql('DROP EXTENSION milvus_brain');

	sql('CREATE SCHEMA brain; CREATE TABLE brain._runs (x int)');
	like(error('CREATE EXTENSION milvus_brain'), qr/ERROR:  42P06: schema "brain" already exists/, 'a schema brain that somebody made is not taken over');
	sql('DROP SCHEMA brain CASCADE');
	is($count->(), $before, 'and nothing was made');
	$db = 'postgres';
}

# ---------- CREATE DATABASE ... TEMPLATE ----------

{
	sql(make_table('t') . make_table('u') . compute('t', 'col') . compute('t', 'filtered', q{filter => $$label <> 'l2'$$}) . compute('t', 'hand', 'with_data => false') .
		q{SELECT brain.add_to_index('t', 'hand', id, embedding) FROM t WHERE id <= 10});
	my @right = map { found('t', $_, 7) } qw(col filtered hand);
	for my $strategy ('wal_log', 'file_copy')
	{
		$node->safe_psql('template1', "CREATE DATABASE copy TEMPLATE postgres STRATEGY $strategy");
		$db = 'copy';
		is_deeply([ map { found('t', $_, 7) } qw(col filtered hand) ], \@right, "$strategy: the copy answers the same");
		sql('ALTER TABLE t RENAME COLUMN label TO class; ALTER TABLE t RENAME TO renamed');
		is_deeply([ map { found('renamed', $_, 7) } qw(col filtered hand) ], \@right, "$strategy: and follows renames");
		sql('DELETE FROM renamed WHERE id <> 7; ' . compute('u', 'more'));
		is(found('renamed', 'col', 7), '7 0.000000000', "$strategy: and has its own rows");
		sql('DROP TABLE renamed');
		is(counts(), '1 1 0', "$strategy: and its own runs");
		$db = 'postgres';
		is_deeply([ map { found('t', $_, 7) } qw(col filtered hand) ], \@right, "$strategy: the original is as it was");
		is(sql('SELECT count(*) FROM brain.runs'), '3', "$strategy: with its runs");
		$node->safe_psql('template1', 'DROP DATABASE copy');
	}
	sql('DROP TABLE t, u');
}

$node->stop;
done_testing();
