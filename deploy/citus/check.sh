#!/usr/bin/env bash
# Checks that a Citus cluster can hold the tenants of an Aurora Locus deployment. It changes nothing.
#
#   check.sh COORDINATOR_URL [NAME=WORKER_URL ...]
#
# COORDINATOR_URL is what --database-url gets, each WORKER_URL what --database-node gets. It prints a line for each check,
# "ok" or "FAILED" or "note", and ends with 1 if one has failed. It needs psql.
set -u
if [ $# -lt 1 ] || [ "$1" = --help ]; then sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; fi
home=$1; shift
failed=0
export PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-10}
ok() { printf 'ok      %s\n' "$*"; }
no() { printf 'FAILED  %s\n' "$*"; failed=1; }
note() { printf 'note    %s\n' "$*"; }
# ask URL SQL: the answer, fields behind |. The URL never stands in what is printed: it may hold a password.
ask() { psql -XqAt -v ON_ERROR_STOP=1 "$1" -c "$2" 2>/tmp/citus-check.$$; }
trap 'rm -f /tmp/citus-check.$$' EXIT
why() { head -1 /tmp/citus-check.$$ | cut -c1-200; }

# is URL NAME SETTING WANTED: WANTED is a value, or >=N.
is() {
  local got; got=$(ask "$1" "SELECT setting FROM pg_settings WHERE name = '$3'")
  case $4 in
    '>='*) if [ "${got:-0}" -ge "${4#>=}" ] 2>/dev/null; then ok "$2: $3 = $got"; else no "$2: $3 = ${got:-unset}, want at least ${4#>=} (ALTER SYSTEM SET $3 = ${4#>=}, then restart)"; fi ;;
    *) if [ "$got" = "$4" ]; then ok "$2: $3 = $got"; else no "$2: $3 = ${got:-unset}, want $4 (ALTER SYSTEM SET $3 = '$4', then restart)"; fi ;;
  esac
}

server() { # URL NAME: what every server of the cluster needs
  local v; v=$(ask "$1" "SELECT current_setting('server_version_num')::int / 10000") || { no "$2: cannot be reached: $(why)"; return 1; }
  if [ "$v" -ge 15 ]; then ok "$2: Postgres $v"; else no "$2: Postgres $v, need 15 or later"; fi
  if [ "$(ask "$1" "SHOW server_encoding")" = UTF8 ]; then ok "$2: encoding UTF8"; else no "$2: the encoding is not UTF8"; fi
  case ",$(ask "$1" "SHOW shared_preload_libraries" | tr -d ' ')" in
    ,citus|,citus,*) ok "$2: shared_preload_libraries begins with citus" ;;
    *) no "$2: shared_preload_libraries must begin with citus; restart after it" ;;
  esac
  v=$(ask "$1" "SELECT extversion FROM pg_extension WHERE extname = 'citus'")
  case $v in
    '') no "$2: this database has no extension citus (CREATE EXTENSION citus)"; return 1 ;;
    13.2*) ok "$2: Citus $v" ;;
    12.*|13.*|14.*) note "$2: Citus $v; 13.2 is what was tried" ;;
    *) no "$2: Citus $v, need 12 or later (schema-based sharding)" ;;
  esac
  is "$1" "$2" wal_level logical            # citus_schema_move copies while it is written to
  is "$1" "$2" max_wal_senders '>=10'
  is "$1" "$2" max_replication_slots '>=10'
  is "$1" "$2" max_worker_processes '>=16'  # logical replication and a daemon for each database
  is "$1" "$2" max_prepared_transactions '>=50' # tables are made on all servers at once
}

server "$home" coordinator || exit 1
if [ "$(ask "$home" "SELECT groupid FROM pg_dist_local_group")" = 0 ]; then ok "coordinator: it is one"; else no "coordinator: this URL leads to a worker"; fi
nodes=$(ask "$home" "SELECT groupid, nodename || ':' || nodeport, isactive, metadatasynced, shouldhaveshards FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid")
case $nodes in
  *$'\n'*|[1-9]*) ;;
  *) no "coordinator: it has no workers (SELECT citus_set_coordinator_host(…), then SELECT citus_add_node(…) for each)" ;;
esac
while IFS='|' read -r group where active synced shards; do
  [ -z "$group" ] && continue
  if [ "$group" = 0 ]; then
    if [ "$shards" = f ]; then ok "coordinator $where: takes no tables"; else note "coordinator $where takes tables (citus_set_node_property(…, 'shouldhaveshards', false) keeps it for control alone)"; fi
    if [ "${where%%:*}" = localhost ]; then no "coordinator: the workers know it as localhost (citus_set_coordinator_host)"; fi
    continue
  fi
  if [ "$active" = t ]; then ok "worker $where: active"; else no "worker $where: inactive (citus_activate_node)"; fi
  if [ "$synced" = t ]; then ok "worker $where: has the metadata, so it can be asked directly"; else no "worker $where: no metadata (start_metadata_sync_to_all_nodes)"; fi
  if [ "$shards" = t ]; then ok "worker $where: takes tables"; else note "worker $where: takes no tables"; fi
done <<<"$nodes"
bad=$(ask "$home" "SELECT string_agg(format('%s:%s to %s:%s', from_nodename, from_nodeport, to_nodename, to_nodeport), ', ') FROM citus_check_cluster_node_health() WHERE result IS NOT TRUE") || note "the servers' ways to each other could not be checked: $(why)"
if [ -z "$bad" ]; then ok "all servers reach each other"; else no "servers that do not reach each other: $bad"; fi

for one in "$@"; do
  name=${one%%=*} url=${one#*=}
  server "$url" "$name" || continue
  group=$(ask "$url" "SELECT groupid FROM pg_dist_local_group")
  where=$(grep "^$group|" <<<"$nodes" | cut -d'|' -f2)
  if [ -n "$where" ] && [ "$group" != 0 ]; then ok "$name: it is the worker $where ('locus node add $name --citus-worker $where')"; else no "$name: it is no worker of this cluster"; fi
  # Rows of one pg_dist_node on both sides: the same cluster, and up to date.
  q="SELECT md5(string_agg(format('%s %s %s %s', nodeid, groupid, nodename, nodeport), ',' ORDER BY nodeid)) FROM pg_dist_node"
  if [ "$(ask "$url" "$q")" = "$(ask "$home" "$q")" ]; then ok "$name: knows the same servers as the coordinator"; else no "$name: its metadata is another's or old (start_metadata_sync_to_all_nodes)"; fi
  drift=$(ask "$url" "SELECT round(abs(extract(epoch FROM clock_timestamp()) - $(date +%s.%N))::numeric, 1)")
  case $drift in
    0*|1.*) ok "$name: its clock is ${drift} s from this machine's" ;;
    *) no "$name: its clock is ${drift:-unknown} s from this machine's, keep it within 2 (NTP)" ;;
  esac
done
[ $# -eq 0 ] && note "no worker's URL was given: nothing was asked of the workers directly"
exit $failed
