// Answers as the reference implementation does, for tests: reads a JSON value a line, writes one a line.
//   {"format": "uri", "text": "…"}             → true or false
//   {"graphemes": "…"}                         → [the reference's count, this Node's own count or null]
//   {"documents": [lexicon documents]}         → true; what records are held against from then on
//   {"record": "app.bsky.feed.post", "value": …} → null, or what is wrong
import { createInterface } from 'node:readline'
import { graphemeLen } from '@atproto/common-web'
import { Lexicons, jsonToLex } from '@atproto/lexicon'
import * as syntax from '@atproto/syntax'
import { validateCidString } from '@atproto/lex-data'

const formats = {
  'did': syntax.isValidDid,
  'handle': syntax.isValidHandle,
  'at-identifier': syntax.isAtIdentifierString,
  'nsid': syntax.isValidNsid,
  'at-uri': syntax.isAtUriString,
  'cid': validateCidString,
  'tid': syntax.isValidTid,
  'record-key': syntax.isValidRecordKey,
  'datetime': syntax.isDatetimeString,
  'uri': syntax.isValidUri,
  'language': (text) => syntax.parseLanguageString(text) !== null,
}

const unicode = parseInt(process.versions.unicode, 10)
const segmenter = unicode >= 17 ? new Intl.Segmenter('en', { granularity: 'grapheme' }) : null
let lexicons

function answer(q) {
  if (q.format !== undefined) return formats[q.format](q.text)
  if (q.graphemes !== undefined) return [graphemeLen(q.graphemes), segmenter ? [...segmenter.segment(q.graphemes)].length : null]
  if (q.documents !== undefined) {
    lexicons = new Lexicons(q.documents)
    return true
  }
  try {
    lexicons.assertValidRecord(q.record, jsonToLex(q.value))
    return null
  } catch (err) {
    return err.message
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + '\n')
}
