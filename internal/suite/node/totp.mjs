import { createHmac } from 'node:crypto'

// totp makes the code that an app shows. spec: RFC 6238
export function totp(text, at = Date.now()) {
  const bits = [...text.replace(/[^A-Z2-7]/gi, '').toUpperCase()].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30000)))
  const mac = createHmac('sha1', key).update(counter).digest()
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, '0')
}

// fresh waits until the code of now is good for a while, so that it does not end on its way.
export async function fresh() {
  const left = 30000 - Date.now() % 30000
  if (left < 15000) await new Promise((r) => setTimeout(r, left))
}
