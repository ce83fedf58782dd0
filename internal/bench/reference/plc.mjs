// A PLC directory in memory. node plc.mjs PORT
import './loopback.mjs'
import plc from '@did-plc/server'

const server = plc.PlcServer.create({ db: plc.Database.mock(), port: Number(process.argv[2]) })
await server.start()
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
