// The reference PDS, configured by the environment as always.
import './loopback.mjs'
import { PDS } from '@atproto/pds'

await PDS.run()
