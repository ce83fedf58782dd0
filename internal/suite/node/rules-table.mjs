// node rules-table.mjs rules-locus.json rules-reference.json: the Markdown table of docs/oauth-rules.md.
import { readFileSync } from 'node:fs'

const [ours, theirs] = process.argv.slice(2).map((f) => JSON.parse(readFileSync(f, 'utf8')))
const mark = (r) => (!r ? '–' : r.held ? 'yes' : '**no**')
console.log('| at | rule | locus | reference |\n|---|---|---|---|')
for (const r of ours) console.log(`| ${r.where} | ${r.what} | ${mark(r)} | ${mark(theirs.find((t) => t.where === r.where && t.what === r.what))} |`)
console.log(`\n${ours.filter((r) => r.held).length} of ${ours.length} hold here, ${theirs.filter((r) => r.held).length} of ${theirs.length} at the reference.`)
