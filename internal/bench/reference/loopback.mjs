// Both programs listen on every interface. A benchmark has no business outside this machine, so a port without a host means 127.0.0.1.
import { Server } from 'node:net'

const listen = Server.prototype.listen
Server.prototype.listen = function (port, ...rest) {
  const onlyPort = (typeof port === 'number' || /^\d+$/.test(port)) && typeof rest[0] !== 'string'
  return onlyPort ? listen.call(this, port, '127.0.0.1', ...rest) : listen.call(this, port, ...rest)
}
