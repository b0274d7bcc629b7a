-- Writes the gallery: one HTML page with everything in it. demo/run does this
-- when demo.sql is done: psql -XqAt -f demo/gallery.sql > gallery.html

-- 8 x 8 pixels as a BMP file: its headers, a palette from white (0) to black
-- (16), the pixels. The style sheet inverts it when the page is dark.
CREATE FUNCTION pg_temp.picture(digit digits) RETURNS text LANGUAGE sql AS $$
    SELECT format('<img alt="a handwritten %s" src="data:image/bmp;base64,%s">', digit.label,
                  translate(encode(decode(headers || palette || pixels, 'hex'), 'base64'), E'\n', ''))
      FROM (VALUES ('424dba000000000000007a000000'
                    '2800000008000000f8ffffff01000800000000004000000000000000000000001100000011000000'))
                   AS file (headers),
           (SELECT string_agg(repeat(lpad(to_hex(255 - 255 * i / 16), 2, '0'), 3) || '00', '' ORDER BY i)
              FROM generate_series(0, 16) AS i) AS colours (palette),
           (SELECT string_agg(lpad(to_hex(ink::integer), 2, '0'), '' ORDER BY i)
              FROM unnest(digit.embedding) WITH ORDINALITY AS pixel (ink, i)) AS body (pixels)
$$;

-- A digit and the ten candidates nearest to it, in a row.
CREATE FUNCTION pg_temp.nearest(query digits, candidates text) RETURNS text LANGUAGE sql AS $$
    SELECT format('<ol><li class="query">%s<i>query</i><b>%s</b><small>id %s</small></li>%s</ol>',
                  pg_temp.picture(query), query.label, query.id, string_agg(tile, '' ORDER BY rank))
      FROM (SELECT rank,
                   format('<li%s>%s<i>%s</i><b>%s</b><span>%s</span><small>id %s</small></li>',
                          CASE WHEN (sample).label <> query.label THEN ' class="wrong"' END,
                          pg_temp.picture(sample), rank, (sample).label,
                          to_char(distance, 'FM990.00'), (sample).id)
              FROM brain.similar_samples(NULL::digits, query.id, k => 10, filter => candidates)
           ) AS tiles (rank, tile)
$$;

SELECT $html$<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>milvus_brain: digits sorted by similarity</title>
<style>
:root {
    --page: #f6f6f3; --card: #fff; --text: #1d1f24; --quiet: #6b6f78; --line: #e2e2dc;
    --accent: #2c5fd5; --soft: #e8eefb; --wrong: #c62f36; --wrong-soft: #fcebea;
    --inverted: 0;
}
@media (prefers-color-scheme: dark) {
    :root {
        --page: #14161a; --card: #1e2127; --text: #e8e9ec; --quiet: #979ca8; --line: #2f333b;
        --accent: #86a9ff; --soft: #232f4c; --wrong: #ff7f80; --wrong-soft: #40252a;
        --inverted: 1;
    }
}
* { box-sizing: border-box; }
body {
    margin: 0 auto; max-width: 76rem; padding: 3rem 1.5rem 4rem;
    background: var(--page); color: var(--text); font: 1rem/1.55 system-ui, sans-serif;
}
h1 { font-size: 2.1rem; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 .6rem; }
h2 { font-size: 1.35rem; letter-spacing: -.01em; margin: 3.5rem 0 .3rem; }
p { max-width: 46rem; margin: 0 0 1rem; }
pre {
    margin: 0 0 1.5rem; padding: .8rem 1rem; overflow-x: auto; border-radius: .5rem;
    background: var(--card); border: 1px solid var(--line);
    font: .82rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace;
}
ol {
    display: grid; grid-template-columns: 1.25fr repeat(10, 1fr); gap: .5rem;
    list-style: none; margin: 0 0 .75rem; padding: 0;
}
li {
    position: relative; display: flex; flex-direction: column; align-items: center;
    padding: 1.15rem .4rem .5rem; border-radius: .5rem; line-height: 1.3;
    background: var(--card); border: 1px solid var(--line);
    font-variant-numeric: tabular-nums;
}
img {
    width: 100%; aspect-ratio: 1; margin-bottom: .35rem; border-radius: .25rem;
    image-rendering: pixelated; filter: invert(var(--inverted)); mix-blend-mode: multiply;
}
@media (prefers-color-scheme: dark) { img { mix-blend-mode: screen; } }
li b { font-size: 1.15rem; }
li span { font-size: .8rem; }
li small { font-size: .7rem; color: var(--quiet); }
li i {
    position: absolute; top: .2rem; left: .35rem; font-size: .68rem; font-style: normal;
    color: var(--quiet);
}
.query { background: var(--soft); border-color: var(--accent); margin-right: .5rem; justify-content: center; }
.query b { font-size: 1.5rem; color: var(--accent); }
.wrong { background: var(--wrong-soft); border-color: var(--wrong); }
.wrong b { color: var(--wrong); }
.wrong b::before { content: "✗ "; font-weight: normal; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem 1rem .35rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th { font-size: .85rem; font-weight: 600; color: var(--quiet); }
th:first-child, th:last-child, td:last-child { text-align: left; }
td { height: 3rem; }
td:first-child { width: 4rem; text-align: left; font-size: 1.15rem; font-weight: 700; }
th:last-child, td:last-child { width: 60%; padding: .35rem 0 .35rem 1.5rem; }
tfoot td { border: 0; font-weight: 700; }
figure { display: inline-flex; align-items: center; gap: .25rem; margin: 0 .9rem 0 0; }
figure img { width: 2.1rem; margin: 0; }
figcaption { color: var(--wrong); font-size: .9rem; }
footer { margin-top: 3.5rem; color: var(--quiet); font-size: .85rem; }
@media (max-width: 60rem) {
    body { padding: 1.5rem 1rem 3rem; }
    ol { grid-template-columns: repeat(5, 1fr); margin-bottom: 2rem; }
    .query { grid-column: 1 / -1; flex-direction: row; gap: 1rem; margin: 0; }
    .query img { width: 4.5rem; margin: 0; }
}
</style>
</head>
<body>
$html$;

SELECT format($html$
<h1>Digits, sorted by similarity</h1>
<p>%s handwritten digits are rows of a PostgreSQL table, and their 64 pixels are their
embeddings. <b>milvus_brain</b> finds the rows nearest to any of them: here by %s distance,
with the %s backend.</p>

<h2>One of each digit, and its ten nearest</h2>
<p>On the left the query, then the others from near to far, each with rank, label, distance and
id. Where the label is not the query’s, the tile is red.</p>
<pre>SELECT rank, (sample).id, (sample).label, distance
  FROM brain.similar_samples(NULL::digits, 42, k =&gt; 10, filter =&gt; 'id &lt;&gt; 42')
 ORDER BY rank;</pre>
$html$, to_char(indexed, 'FM9,999'), metric, backend) FROM brain.runs;

SELECT pg_temp.nearest(digits, format('id <> %s', id))
  FROM digits
 WHERE id IN (1, 132, 3, 104, 42, 75, 7, 8, 9, 38)
 ORDER BY label;

SELECT $html$
<h2>Test digits, searched among the training digits</h2>
<p>Every fifth digit is marked “test”. A filter, which is any condition on the row, leaves only
the others as candidates.</p>
<pre>SELECT rank, (sample).id, (sample).label, distance
  FROM brain.similar_samples(NULL::digits, 100, k =&gt; 10, filter =&gt; $$split = 'train'$$)
 ORDER BY rank;</pre>
$html$;

SELECT pg_temp.nearest(digits, $$split = 'train'$$)
  FROM digits
 WHERE id IN (100, 60, 110, 45, 10)
 ORDER BY label;

SELECT $html$
<h2>Five neighbours vote</h2>
<p>Does similarity know what a digit is? Each one in turn is searched among all the others, and
its five nearest vote. The last column has every digit that the vote took for another one.</p>
<pre>SELECT digit.id, digit.label, mode() WITHIN GROUP (ORDER BY (near.sample).label) AS guess
  FROM digits AS digit,
       LATERAL brain.similar_samples(NULL::digits, digit.id, k =&gt; 6) AS near
 WHERE (near.sample).id &lt;&gt; digit.id
 GROUP BY digit.id;</pre>
<table>
<thead><tr><th>Digit</th><th>Samples</th><th>Right</th><th>Percent</th><th>Taken for another one</th></tr></thead>
<tbody>$html$;

SELECT format('<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>',
              label, count(*), count(*) FILTER (WHERE guess = label),
              to_char(100.0 * count(*) FILTER (WHERE guess = label) / count(*), 'FM990.0'),
              string_agg(format('<figure title="id %s">%s<figcaption>for %s</figcaption></figure>',
                                id, pg_temp.picture(digits), guess), '' ORDER BY id)
              FILTER (WHERE guess <> label))
  FROM votes JOIN digits USING (id, label)
 GROUP BY label
 ORDER BY label;

SELECT format('</tbody><tfoot><tr><td>All</td><td>%s</td><td>%s</td><td>%s</td><td></td></tr></tfoot></table>',
              to_char(count(*), 'FM9,999'), to_char(count(*) FILTER (WHERE guess = label), 'FM9,999'),
              to_char(100.0 * count(*) FILTER (WHERE guess = label) / count(*), 'FM990.0'))
  FROM votes;

SELECT format($html$
<footer>Made by demo/run with milvus_brain %s. The digits: E. Alpaydin, Optical Recognition of
Handwritten Digits, UCI Machine Learning Repository, 1998, as in scikit-learn.</footer>
</body>
</html>$html$, brain.version());
