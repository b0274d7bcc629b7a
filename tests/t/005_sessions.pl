# No answer depends on the state of a session: behind a pooler in transaction
# mode the next statement may run in any of them. The same calls are made in
# fresh sessions, after DISCARD ALL, between other clients' transactions, and
# under every setting that changes how values are read or written or how
# queries are planned; what they answer and what they record must be the same.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# A key of each type whose text depends on a setting.
my %key = (
	at => q{timestamptz '2020-01-01 12:00+00' + i * interval '7 hours'},
	day => q{date '2020-01-01' + i},
	span => q{i * interval '1 day 3 hours'},
	bytes => q{decode(md5(i::text), 'hex')},
	number => q{i * 0.1::double precision},
	name => q{'Ä''' || i || '\\'});

my $tables = join '', map { qq{
	CREATE TABLE by_$_ (key @{[ { at => 'timestamptz', day => 'date', span => 'interval', bytes => 'bytea', number => 'double precision', name => 'text' }->{$_} ]} PRIMARY KEY,
		label text, embedding real[]);
	INSERT INTO by_$_ SELECT $key{$_}, 'l' || i % 3, ARRAY[cos(i), sin(2 * i), (i % 7) / 7.0] FROM generate_series(1, 12) i;
	SELECT brain.compute_similarity('by_$_', 'col', metric => 'euclidean');
	SELECT brain.compute_similarity('by_$_', 'hand', with_data => false);
	SELECT brain.add_to_index('by_$_', 'hand', key, embedding) FROM by_$_ WHERE label <> 'l1';} } sort keys %key;
sql("CREATE EXTENSION milvus_brain; $tables");
sql(q{
	SELECT brain.compute_similarity('by_day', 'filtered', filter => $$key < '2020-02-03' AND "label" <> 'l2'$$);
	SELECT brain.compute_similarity('by_at', 'filtered', filter => $$key < '2020-01-03 04:00+00'$$)});

# One query that asks everything; numbers bit by bit.
my $ask = join ' UNION ALL ', map {
	my $table = "by_$_";
	(   qq{SELECT '$table col ' || string_agg(sample_id || ' ' || encode(float8send(distance), 'hex') || ' ' || encode(float8send(score), 'hex'), ',' ORDER BY rank) FROM brain.sort_by_similarity('public.$table', (SELECT public.$table.key FROM public.$table ORDER BY label, embedding LIMIT 1), k => NULL, brain_key => 'col')},
		qq{SELECT '$table hand ' || string_agg(sample_id || ' ' || encode(float8send(distance), 'hex'), ',' ORDER BY rank) FROM brain.sort_by_similarity('public.$table', ARRAY[0.1, 0.7, 1e-3], k => 5, brain_key => 'hand')},
		qq{SELECT '$table rows ' || string_agg((sample).label, ',' ORDER BY rank) FROM brain.similar_samples(NULL::public.$table, ARRAY[0.1, 0.7, 0.3], k => 6, brain_key => 'col', filter => 'label > ''l0''')},
		qq{SELECT '$table get ' || string_agg(sample_id || ' ' || encode(array_send(embedding), 'hex'), ',' ORDER BY sample_id COLLATE "C") FROM brain.get_embeddings('public.$table', 'hand')})
} sort keys %key;
$ask .= q{ UNION ALL SELECT 'filtered ' || string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('public.by_day', ARRAY[1,0,0]::real[], k => NULL, brain_key => 'filtered')
	UNION ALL SELECT 'filtered ' || string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('public.by_at', ARRAY[1,0,0]::real[], k => NULL, brain_key => 'filtered')
	UNION ALL SELECT concat_ws(' ', 'run', samples::oid, brain_key, metric, id_field, embeddings_field, filter, indexed, state) FROM brain.runs
	UNION ALL SELECT 'info ' || (brain.get_brain_info('public.by_day', 'filtered')->'config')::text};
# the search by an id as text, in its canonical form, as an application has it from an earlier answer
$ask .= " UNION ALL SELECT 'text ' || string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('public.by_at', '2020-01-02 02:00:00+00'::text, k => 3, brain_key => 'col')"
	. " UNION ALL SELECT 'text ' || string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('public.by_bytes', E'\\\\x' || md5('3'), k => 3, brain_key => 'col')"
	. " UNION ALL SELECT 'text ' || string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('public.by_span', '3 days 09:00:00'::text, k => 3, brain_key => 'col')"
	. " UNION ALL SELECT 'text ' || string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('public.by_number', '0.30000000000000004'::text, k => 3, brain_key => 'col')";
# in the order of the answers; the names of tables in brain.runs depend on search_path, as regclass does everywhere
my $wrapped = "SELECT md5(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\")), count(*), count(line) FROM ($ask) AS x (line)";

my $right = sql($wrapped);
my $lines = sql($ask);
like($right, qr/^\w{32}\|(\d+)\|\1$/, 'every query answers');
like($lines, qr/^by_at col 2020-01-0\d \d\d:00:00\+00 0000000000000000/m, 'ids are in their canonical text');

# ---------- fresh sessions ----------

my @settings = (
	q{search_path = ''}, q{search_path = 'nowhere'}, q{search_path = brain, public}, q{search_path = pg_temp, public, pg_catalog},
	q{DateStyle = 'SQL, DMY'}, q{DateStyle = 'German'}, q{DateStyle = 'Postgres, MDY'}, q{TimeZone = 'Asia/Kathmandu'}, q{TimeZone = '-11:30'},
	q{IntervalStyle = 'sql_standard'}, q{IntervalStyle = 'iso_8601'}, q{IntervalStyle = 'postgres_verbose'},
	q{extra_float_digits = -15}, q{extra_float_digits = 0}, q{extra_float_digits = 3}, q{bytea_output = 'escape'},
	q{standard_conforming_strings = off}, q{escape_string_warning = off}, q{backslash_quote = off}, q{array_nulls = off}, q{quote_all_identifiers = on},
	q{transform_null_equals = on}, q{lc_numeric = 'C'}, q{lc_monetary = 'C'}, q{lc_messages = 'C'}, q{xmlbinary = hex},
	q{default_transaction_isolation = 'serializable'}, q{default_transaction_read_only = on}, q{default_transaction_deferrable = on},
	q{row_security = on}, q{session_replication_role = replica}, q{check_function_bodies = off},
	q{plan_cache_mode = force_generic_plan}, q{enable_seqscan = off}, q{enable_indexscan = off}, q{enable_hashjoin = off}, q{enable_nestloop = off},
	q{enable_sort = off}, q{enable_hashagg = off}, q{work_mem = '64kB'}, q{jit_above_cost = 0}, q{constraint_exclusion = on}, q{default_statistics_target = 1},
	q{parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 4},
	q{client_encoding = 'LATIN1'}, q{client_min_messages = error}, q{statement_timeout = '1min'}, q{gin_fuzzy_search_limit = 1},
	q{from_collapse_limit = 1; SET join_collapse_limit = 1}, q{geqo_threshold = 2}, q{default_toast_compression = pglz}, q{default_table_access_method = heap},
	q{brain.default_similarity_backend = 'milvus'});
for my $setting (@settings)
{
	# the encoding of the answers is the client's own affair
	my $back = $setting =~ /client_encoding/ ? 'RESET client_encoding;' : '';
	my ($rc, $out, $err) = $node->psql('postgres', "SET $setting; $wrapped; $back");
	is("$out$err", $right, "a fresh session with $setting");
}
# settings that come with the role, before the library is loaded
sql(q{CREATE ROLE app LOGIN SUPERUSER; ALTER ROLE app SET brain.default_similarity_backend = 'milvus'; ALTER ROLE app SET search_path = nowhere; ALTER ROLE app SET DateStyle = 'SQL, DMY'});
is($node->safe_psql('postgres', $wrapped, extra_params => [ '-U', 'app' ]), $right, 'a fresh session with settings of its role');

# ---------- one session ----------

{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $wrong = 0;
	for my $setting (@settings)
	{
		next if $setting =~ /client_encoding/;
		$session->query("BEGIN; SET " . ($setting =~ s/SET /SET LOCAL /gr) =~ s/^/LOCAL /r . "; COMMIT");
		$wrong++ if $session->query($wrapped) ne $right;
		$session->query("SET $setting");
		$wrong++ if $session->query($wrapped) ne $right;
		$session->query('DISCARD ALL');
		$wrong++ if $session->query($wrapped) ne $right;
	}
	is($wrong, 0, 'one session: SET LOCAL, SET and DISCARD ALL between the same calls');

	# others' work in between
	$wrong = 0;
	for my $other (
		q{BEGIN; SELECT 1/0; ROLLBACK}, q{SELECT brain.sort_by_similarity('by_at', 'nonsense')}, q{SELECT brain.sort_by_similarity('by_name', '[1,2]', brain_key => 'col')},
		q{BEGIN; CREATE TEMP TABLE by_at (key int PRIMARY KEY, embedding real[]) ON COMMIT DROP; COMMIT}, q{CREATE TEMP TABLE by_day (x int); SELECT brain.list_brain_runs('by_day')},
		q{DISCARD TEMP}, q{DISCARD PLANS}, q{DISCARD SEQUENCES}, q{DEALLOCATE ALL}, q{RESET ALL}, q{CREATE SCHEMA w; CREATE FUNCTION w.unnest(anyarray) RETURNS int LANGUAGE sql AS 'SELECT -1'; SET search_path = w, public},
		q{RESET search_path; DROP SCHEMA w CASCADE}, q{PREPARE x AS SELECT * FROM brain.sort_by_similarity('by_day', ARRAY[1,2,3]::real[], brain_key => 'col')}, q{EXECUTE x}, q{LISTEN x}, q{BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM brain.sort_by_similarity('by_day', ARRAY[1,2,3]::real[], brain_key => 'col'); COMMIT},
		q{BEGIN; SELECT brain.compute_similarity('by_day', 'aaa'); ROLLBACK}, q{BEGIN; ALTER TABLE by_at RENAME TO x; ROLLBACK}, q{LOAD 'milvus_brain'}, q{SET ROLE app}, q{RESET ROLE})
	{
		$session->query($other);
		$wrong++ if $session->query($wrapped) ne $right;
	}
	is($wrong, 0, q{one session: between other clients' transactions});
	is($session->query('FETCH 1 FROM c') =~ /^1\|/ ? 'row 1' : 'none', 'row 1', 'a held cursor over a search outlives them');
	$session->quit;
}

# ---------- many sessions at once, as a pooler has them ----------

{
	my @clients = map { $node->background_psql('postgres') } 1 .. 4;
	my $wrong = 0;
	for my $round (0 .. 19)
	{
		my $client = $clients[ $round * 7 % 4 ];
		$client->query_safe('BEGIN');
		$client->query_safe('SET ' . ($round % 2 ? 'LOCAL ' : '') . $settings[ $round * 5 % 16 ]);
		$wrong++ if $client->query_safe($wrapped) ne $right;
		$client->query_safe($round % 3 ? 'COMMIT' : 'ROLLBACK');
	}
	is($wrong, 0, 'transactions of different clients dealt to four sessions');
	$_->quit for @clients;
}

# ---------- what is recorded ----------

{
	# a date that two settings read differently: as the caller's, stored as what it meant
	my $record = sub {
		my ($settings) = @_;
		my $out = sql(qq{$settings
			SELECT brain.compute_similarity('public.by_day', 'record', metric => 'euclidean', overwrite => true,
				filter => \$\$key < date '2020-01-09' AND label <> 'l2' AND key <> '2020-01-05'::date AND key + interval '1 day' < timestamp '2020-01-10 11:00'\$\$) \\g /dev/null
			SELECT brain.compute_similarity('public.by_at', 'record', metric => 'euclidean', overwrite => true, filter => \$\$key < '2020-01-03 04:00+00'::timestamptz\$\$) \\g /dev/null
			SELECT brain.compute_similarity('public.by_bytes', 'record', metric => 'euclidean', overwrite => true, filter => \$\$key <> '\\x00ff'::bytea\$\$) \\g /dev/null
			SELECT brain.compute_similarity('public.by_span', 'record', metric => 'euclidean', overwrite => true, filter => \$\$key < '5 days 03:04:05'::interval\$\$) \\g /dev/null
			SELECT brain.compute_similarity('public.by_number', 'record', metric => 'euclidean', overwrite => true, filter => \$\$key <> 0.1::float8 + 0.2::float8\$\$) \\g /dev/null
			SELECT brain.compute_similarity('public.by_name', 'record', metric => 'euclidean', overwrite => true, filter => \$\$key <> U&'\\00e4'''\$\$) \\g /dev/null
			});
		return sql(q{SELECT concat_ws(' ', dataset_name, brain_key, id_field, embeddings_field, filter, metric, dimensions, indexed, missing, skipped) FROM brain._runs WHERE brain_key = 'record' ORDER BY 1});
	};
	my $plain = $record->('');
	for my $setting (@settings)
	{
		next if $setting =~ /standard_conforming_strings|backslash_quote|default_similarity_backend|read_only|client_encoding/;
		is($record->("SET $setting;"), $plain, "a run recorded under $setting");
		# and it means the same when its text is parsed again, as after a restore
	}
	sql(q{SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kathmandu'; SET IntervalStyle = 'sql_standard'; SET bytea_output = 'escape'; SET quote_all_identifiers = on;
		ALTER TABLE by_day RENAME COLUMN label TO class; ALTER TABLE by_day RENAME COLUMN class TO label; ALTER TABLE by_at RENAME TO x; ALTER TABLE x RENAME TO by_at});
	is(sql(q{SELECT concat_ws(' ', dataset_name, brain_key, id_field, embeddings_field, filter, metric, dimensions, indexed, missing, skipped) FROM brain._runs WHERE brain_key = 'record' ORDER BY 1}),
		$plain, 'and by an ALTER under such settings');
	my $found = q{SELECT string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('public.by_day', ARRAY[1,0,0]::real[], k => NULL, brain_key => 'record')
		UNION ALL SELECT string_agg(sample_id, ',' ORDER BY rank) FROM brain.sort_by_similarity('public.by_at', ARRAY[1,0,0]::real[], k => NULL, brain_key => 'record')};
	my $before = sql($found);
	sql('DELETE FROM brain._run_bindings');
	for my $setting (@settings)
	{
		next if $setting =~ /client_encoding/;
		is(sql("SET $setting; $found"), $before, "a restored run's filter, parsed under $setting");
	}
	is($before, sql(q{
		SELECT string_agg(key::text, ',' ORDER BY d, key) FROM (SELECT key, (SELECT sum((a - b)^2) FROM unnest(embedding::float8[], ARRAY[1,0,0]::float8[]) u(a, b)) AS d FROM by_day
		 WHERE key < '2020-01-09' AND label <> 'l2' AND key <> '2020-01-05') x
		UNION ALL SELECT string_agg(to_char(key AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00', ',' ORDER BY d, key) FROM (SELECT key, (SELECT sum((a - b)^2) FROM unnest(embedding::float8[], ARRAY[1,0,0]::float8[]) u(a, b)) AS d FROM by_at
		 WHERE key < '2020-01-03 04:00+00') x}), 'and it is what the filter says');
}

$node->stop;
done_testing();
