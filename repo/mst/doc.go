// Package mst is the Merkle Search Tree that holds a repository's records: keys (repository paths) to record CIDs.
//
// The tree is a function of its set of keys and values only. A key's level is the number of leading zero bits of its
// SHA-256, halved; each key stands on its own level, each child exactly one level below its parent.
//
// spec: repository#mst-structure
//
// # Nodes stay bytes
//
// A node in memory is its canonical block, the children that have been loaded, and little else: keys are compared
// without unpacking the prefix compression, an edit rewrites only the nodes whose entries change, and the nodes above
// them get 32 bytes replaced. Hashing waits for Commit, which seals each changed node once, children first. Nodes of
// a committed state are never modified (an edit copies the nodes on its way), so Clone costs nothing, an edit that
// fails is dropped by Reset, and the blocks in a Diff may be kept.
//
// # Storage by position
//
// A node's Position is its level and the key it hangs after ("" on the left edge). It is unique in a tree, and it
// stays when the node's content changes: stored by position most nodes of a commit are rows updated in place, and rows
// ordered by (After, Level descending), each record slipped in at its own key after the nodes that hang before it, are
// the archive's streaming order. A commit is stored by writing Diff.New and Diff.Moved at their positions and deleting
// Diff.Gone.
//
// One query finds every node that a change of key k reads, and all that its event has to prove:
//
//   - for each level from 0 to the root's, the row with the greatest After < k (the way to k, the neighbour before it,
//     the halves of a split), and
//   - the rows with After = k (the left edge of what follows k, which a delete hangs elsewhere).
//
// In SQL, for a repository $1 and keys $2 (a batch takes the union over its keys):
//
//	SELECT n.level, n.after, n.cid, n.content
//	FROM unnest($2::text[]) AS k(path)
//	CROSS JOIN generate_series(0, (SELECT max(level) FROM mst_node WHERE aid = $1)) AS l(level)
//	CROSS JOIN LATERAL (
//	    (SELECT * FROM mst_node WHERE aid = $1 AND level = l.level AND after < k.path ORDER BY after DESC LIMIT 1)
//	    UNION ALL
//	    (SELECT * FROM mst_node WHERE aid = $1 AND level = l.level AND after = k.path)) AS n
//
// On a level without a node in the gap the first branch finds a neighbour that is not linked; nobody asks for it.
// Blocks is a Loader over what such a query gave.
package mst
