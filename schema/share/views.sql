-- What a tenant's owner may read by SQL, in a schema beside the tenant's own. pds_tenant stands for the one, pds_share for
-- the other. All of it is made anew after each migration: nothing is kept here.

-- A TID as text, from its 63-bit integer.
CREATE FUNCTION pds_share.tid(n bigint) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT string_agg(substr('234567abcdefghijklmnopqrstuvwxyz', 1 + ((n >> (5 * i)) & 31)::int, 1), '' ORDER BY i DESC) FROM generate_series(0, 12) AS i);

-- A CID as text (base32), from its bytes.
CREATE FUNCTION pds_share.cid(raw bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT 'b' || string_agg(substr('abcdefghijklmnopqrstuvwxyz234567', 1 + substring(x.bits FROM 1 + 5 * i FOR 5)::bit(5)::int, 1), '' ORDER BY i)
  FROM (SELECT ('x' || encode(raw || '\x00'::bytea, 'hex'))::varbit AS bits) x, generate_series(0, (octet_length(raw) * 8 + 4) / 5 - 1) AS i);

-- The text of a CBOR string. Text in Postgres has no NUL: the replacement character stands for it.
CREATE FUNCTION pds_share.cbor_text(raw bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN position('\x00'::bytea IN raw) = 0 THEN convert_from(raw, 'UTF8') ELSE
  (SELECT convert_from(decode(string_agg(CASE get_byte(raw, i) WHEN 0 THEN 'efbfbd' ELSE lpad(to_hex(get_byte(raw, i)), 2, '0') END, '' ORDER BY i), 'hex'), 'UTF8')
   FROM generate_series(0, octet_length(raw) - 1) AS i) END;

-- A record as JSON, from its block (DAG-CBOR). Links are {"$link": …}, bytes {"$bytes": …}. What is no such block is null.
CREATE FUNCTION pds_share.record_json(block bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  size int := octet_length(block);
  pos int := 0;
  head int;
  major int;
  info int;
  value bigint;
  raw bytea;
  parts text[] := '{}';
  n int := 0;
  items bigint[] := '{}'; -- left in each open map or list
  maps boolean[] := '{}';
  depth int := 0;
  link boolean := false;
BEGIN
  LOOP
    IF pos >= size THEN RETURN NULL; END IF;
    head := get_byte(block, pos);
    pos := pos + 1;
    major := head >> 5;
    info := head & 31;
    IF info < 24 THEN
      value := info;
    ELSIF info < 28 AND pos + (1 << (info - 24)) <= size THEN
      value := CASE info
        WHEN 24 THEN get_byte(block, pos)
        WHEN 25 THEN get_byte(block, pos) << 8 | get_byte(block, pos + 1)
        WHEN 26 THEN ('x' || encode(substr(block, pos + 1, 4), 'hex'))::bit(32)::bigint
        ELSE ('x' || encode(substr(block, pos + 1, 8), 'hex'))::bit(64)::bigint END;
      pos := pos + (1 << (info - 24));
    ELSE
      RETURN NULL;
    END IF;
    IF value < 0 OR (major = 2 OR major = 3) AND pos + value > size THEN RETURN NULL; END IF;
    IF major = 6 THEN
      link := true; -- the one tag there is: bytes follow, a zero and the CID
      CONTINUE;
    END IF;
    n := n + 1;
    IF major = 3 THEN
      parts[n] := to_json(pds_share.cbor_text(substr(block, pos + 1, value::int)))::text;
      pos := pos + value::int;
    ELSIF major = 0 THEN
      parts[n] := value::text;
    ELSIF major = 1 THEN
      parts[n] := (-1 - value)::text;
    ELSIF major = 2 THEN
      raw := substr(block, pos + 1, value::int);
      IF link THEN
        parts[n] := '{"$link":"' || pds_share.cid(substr(raw, 2)) || '"}';
      ELSE
        parts[n] := '{"$bytes":"' || rtrim(translate(encode(raw, 'base64'), E'\n', ''), '=') || '"}';
      END IF;
      link := false;
      pos := pos + value::int;
    ELSIF major = 4 OR major = 5 THEN
      IF value > 0 THEN
        depth := depth + 1;
        maps[depth] := major = 5;
        items[depth] := value * (major - 3);
        parts[n] := CASE major WHEN 5 THEN '{' ELSE '[' END;
        CONTINUE;
      END IF;
      parts[n] := CASE major WHEN 5 THEN '{}' ELSE '[]' END;
    ELSE
      parts[n] := CASE info WHEN 20 THEN 'false' WHEN 21 THEN 'true' ELSE 'null' END;
    END IF;
    -- One item is whole, and with it perhaps what it lies in.
    LOOP
      IF depth = 0 THEN
        IF pos <> size THEN RETURN NULL; END IF;
        RETURN array_to_string(parts, '')::jsonb;
      END IF;
      items[depth] := items[depth] - 1;
      n := n + 1;
      IF items[depth] > 0 THEN
        parts[n] := CASE WHEN maps[depth] AND items[depth] % 2 = 1 THEN ':' ELSE ',' END;
        EXIT;
      END IF;
      parts[n] := CASE WHEN maps[depth] THEN '}' ELSE ']' END;
      depth := depth - 1;
    END LOOP;
  END LOOP;
END $$;

CREATE VIEW pds_share.accounts AS
SELECT a.did, a.handle, c.email, c.email_confirmed_at,
  CASE WHEN a.takedown_ref IS NOT NULL THEN 'takendown' WHEN a.deactivated_at IS NOT NULL THEN 'deactivated' ELSE 'active' END AS status,
  a.created_at, a.deactivated_at, a.record_count AS records, a.record_bytes, pds_share.tid(a.head_rev) AS rev
FROM pds_tenant.actor a JOIN pds_tenant.account c ON c.aid = a.aid WHERE a.creating_since IS NULL;

-- Without their contents: for counting.
CREATE VIEW pds_share.records AS
SELECT a.did, split_part(r.path, '/', 1) AS collection, split_part(r.path, '/', 2) AS rkey, octet_length(r.value) AS bytes, r.indexed_at,
  r.takedown_ref IS NOT NULL AS taken_down
FROM pds_tenant.record r JOIN pds_tenant.actor a ON a.aid = r.aid;

CREATE VIEW pds_share.records_json AS
SELECT a.did, 'at://' || a.did || '/' || r.path AS uri, split_part(r.path, '/', 1) AS collection, split_part(r.path, '/', 2) AS rkey,
  pds_share.cid(r.cid) AS cid, pds_share.tid(r.rev) AS rev, r.indexed_at, r.takedown_ref IS NOT NULL AS taken_down, pds_share.record_json(r.value) AS record
FROM pds_tenant.record r JOIN pds_tenant.actor a ON a.aid = r.aid;

CREATE VIEW pds_share.blobs AS
SELECT a.did, pds_share.cid(b.cid) AS cid, b.mime_type, b.size, b.created_at, b.temporary, b.takedown_ref IS NOT NULL AS taken_down
FROM pds_tenant.blob b JOIN pds_tenant.actor a ON a.aid = b.aid;

CREATE VIEW pds_share.blob_uses AS
SELECT a.did, pds_share.cid(u.cid) AS cid, split_part(u.path, '/', 1) AS collection, split_part(u.path, '/', 2) AS rkey
FROM pds_tenant.record_blob u JOIN pds_tenant.actor a ON a.aid = u.aid;

CREATE VIEW pds_share.events AS
SELECT e.seq, a.did, CASE e.kind WHEN 1 THEN 'commit' WHEN 2 THEN 'sync' WHEN 3 THEN 'identity' WHEN 4 THEN 'account' ELSE e.kind::text END AS kind,
  e.sequenced_at AS at, CASE WHEN e.rev > 0 THEN pds_share.tid(e.rev) END AS rev, octet_length(e.payload) AS bytes
FROM pds_tenant.repo_event e LEFT JOIN pds_tenant.actor a ON a.aid = e.aid;

-- What follows, likes, reposts and blocks point at.
CREATE VIEW pds_share.links AS
SELECT a.did, split_part(l.path, '/', 1) AS collection, split_part(l.path, '/', 2) AS rkey, l.link_to AS subject
FROM pds_tenant.record l JOIN pds_tenant.actor a ON a.aid = l.aid WHERE l.link_to IS NOT NULL;

-- Who of this server follows whom, of this server or another.
CREATE VIEW pds_share.followers AS
SELECT l.link_to AS subject, a.did AS follower, a.handle AS follower_handle, split_part(l.path, '/', 2) AS rkey
FROM pds_tenant.record l JOIN pds_tenant.actor a ON a.aid = l.aid
WHERE l.link_to IS NOT NULL AND l.path COLLATE "C" >= 'app.bsky.graph.follow/' AND l.path COLLATE "C" < 'app.bsky.graph.follow0';
