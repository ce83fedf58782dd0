// The reference's PLC directory on loopback: node directory.cjs PORT, with its rows in Postgres (DATABASE_URL). Like the
// public one it refuses with 429 whoever asks more than so often in a second (PER_SECOND).
const http = require('node:http')
const plc = require('@did-plc/server')

const perSecond = Number(process.env.PER_SECOND || Infinity)
let second = 0, asked = 0
const main = async () => {
  const db = plc.Database.postgres({ url: process.env.DATABASE_URL })
  await db.migrateToLatestOrThrow()
  const { app } = plc.PlcServer.create({ db })
  http.createServer((request, response) => {
    const now = Math.floor(Date.now() / 1000)
    if (now !== second) [second, asked] = [now, 0]
    if (++asked > perSecond && request.url !== '/_health') {
      response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '1' })
      return response.end(JSON.stringify({ message: 'Too Many Requests' }))
    }
    app(request, response)
  }).listen(Number(process.argv[2]), '127.0.0.1')
}
main()
