// A person without script: reads pages, fills forms and sends them, as a browser with script switched off does.
import { request } from 'node:https'
import { parse } from 'parse5'

const attr = (n, name) => n.attrs?.find((a) => a.name === name)?.value
const walk = function* (n) {
  yield n
  for (const c of n.childNodes ?? []) yield* walk(c)
}
const words = (n) => [...walk(n)].filter((c) => c.nodeName === '#text').map((c) => c.value).join(' ').replace(/\s+/g, ' ').trim()
const find = (n, ...tags) => [...walk(n)].filter((c) => tags.includes(c.tagName))

// ask is fetch with every header as it is given: fetch itself always says that a script asks (Sec-Fetch-Mode: cors).
export const ask = (url, { method = 'GET', headers = {}, body } = {}) => new Promise((resolve, reject) => {
  const req = request(url, { method, headers: { ...headers, ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }) } }, (res) => {
    const parts = []
    res.on('data', (d) => parts.push(d)).on('error', reject).on('end', () => {
      const h = new Headers()
      for (let i = 0; i < res.rawHeaders.length; i += 2) h.append(res.rawHeaders[i], res.rawHeaders[i + 1])
      resolve({ status: res.statusCode, headers: h, text: Buffer.concat(parts).toString() })
    })
  })
  req.on('error', reject).end(body)
})

// Page is what was answered, and what can be done there.
export class Page {
  constructor(url, status, headers, text) {
    Object.assign(this, { url, status, headers, text })
    this.root = parse(text)
    this.title = find(this.root, 'title').map(words)[0] ?? ''
    this.words = words(find(this.root, 'body')[0] ?? this.root)
    this.forms = find(this.root, 'form').map((f) => new Form(this, f))
    this.links = find(this.root, 'a').filter((a) => attr(a, 'href')).map((a) => ({ href: new URL(attr(a, 'href'), url).href, words: words(a) }))
  }
  form(test) { return this.forms.find(test) }
  toString() { return `${this.status} ${this.url} "${this.title}" ${this.words.slice(0, 400)}` }
}

export class Form {
  constructor(page, node) {
    this.page = page
    this.method = (attr(node, 'method') ?? 'get').toUpperCase()
    this.action = new URL(attr(node, 'action') || page.url, page.url).href
    this.id = attr(node, 'id') ?? ''
    this.words = words(node)
    this.fields = []
    this.buttons = []
    const inside = [...find(node, 'input', 'select', 'textarea', 'button'), ...find(page.root, 'button', 'input').filter((n) => this.id && attr(n, 'form') === this.id)]
    for (const n of new Set(inside)) {
      if (attr(n, 'form') && attr(n, 'form') !== this.id || attr(n, 'disabled') !== undefined) continue
      const type = n.tagName === 'button' ? attr(n, 'type') ?? 'submit' : n.tagName === 'input' ? attr(n, 'type') ?? 'text' : n.tagName
      const field = { name: attr(n, 'name'), type, value: attr(n, 'value') ?? '', autocomplete: attr(n, 'autocomplete') ?? '', words: words(n) || attr(n, 'value') || '', checked: attr(n, 'checked') !== undefined, target: attr(n, 'formaction') && new URL(attr(n, 'formaction'), page.url).href }
      if (type === 'submit' || type === 'image') this.buttons.push(field)
      else if (type !== 'button' && type !== 'reset') {
        if (n.tagName === 'select') field.value = (find(n, 'option').find((o) => attr(o, 'selected') !== undefined) ?? find(n, 'option')[0])?.attrs.find((a) => a.name === 'value')?.value ?? ''
        if (n.tagName === 'textarea') field.value = words(n)
        this.fields.push(field)
      }
    }
  }
  field(test) { return this.fields.find(test) }
  has(type) { return this.fields.some((f) => f.type === type) }
  // fill sets the first field that a test finds.
  fill(test, value) {
    const f = typeof test === 'string' ? this.field((f) => f.name === test) : this.field(test)
    if (!f) throw new Error(`no such field in the form of ${this.page}: ${test}`)
    f.value = value
    return this
  }
  tick(test, on = true) {
    for (const f of this.fields.filter((f) => (f.type === 'checkbox' || f.type === 'radio') && test(f))) f.checked = on
    return this
  }
  pairs(button) {
    const out = this.fields.filter((f) => f.name && (f.type !== 'checkbox' && f.type !== 'radio' || f.checked)).map((f) => [f.name, f.value === '' && f.type === 'checkbox' ? 'on' : f.value])
    if (button?.name) out.push([button.name, button.value])
    return out
  }
}

// Person keeps cookies, and tells servers what browsers tell.
export class Person {
  cookies = new Map() // host → name → value
  page = undefined
  agent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
  language = 'en'
  // stop says which URLs are the client's: nothing is asked of them.
  constructor({ stop = () => false, ...more } = {}) { Object.assign(this, { stop }, more) }

  async go(url, { method = 'GET', pairs, from, site } = {}) {
    for (let hops = 0; hops < 12; hops++) {
      const u = new URL(url)
      if (this.stop(u)) return { landed: u }
      const jar = this.cookies.get(u.host) ?? new Map()
      const headers = {
        'user-agent': this.agent, accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'accept-language': this.language,
        'sec-fetch-dest': 'document', 'sec-fetch-mode': 'navigate', 'sec-fetch-user': '?1',
        'sec-fetch-site': site ?? (!from ? 'none' : new URL(from).origin === u.origin ? 'same-origin' : 'cross-site'),
      }
      if (jar.size) headers.cookie = [...jar].map(([k, v]) => `${k}=${v}`).join('; ')
      if (from && new URL(from).origin === u.origin) headers.referer = from
      if (method === 'POST') headers.origin = new URL(from ?? url).origin
      if (pairs) headers['content-type'] = 'application/x-www-form-urlencoded'
      const res = await ask(u, { method, headers, body: pairs && new URLSearchParams(pairs).toString() })
      for (const line of res.headers.getSetCookie()) {
        const [pair, ...attrs] = line.split(';').map((s) => s.trim())
        const at = pair.indexOf('='), key = pair.slice(0, at), value = pair.slice(at + 1)
        const gone = attrs.some((a) => /^max-age=(0|-)/i.test(a) || (/^expires=/i.test(a) && new Date(a.slice(8)) < new Date()))
        if (gone) jar.delete(key)
        else jar.set(key, value)
      }
      this.cookies.set(u.host, jar)
      if (res.status >= 300 && res.status < 400 && res.headers.get('location')) {
        const next = new URL(res.headers.get('location'), u).href
        if (res.status !== 307 && res.status !== 308) { method = 'GET'; pairs = undefined }
        url = next
        continue
      }
      this.page = new Page(url, res.status, res.headers, res.text)
      return { page: this.page }
    }
    throw new Error('too many redirects at ' + url)
  }

  // send presses a button of a form; without one, the first.
  async send(form, button = form.buttons[0]) {
    const url = button?.target ?? form.action, pairs = form.pairs(button)
    if (form.method === 'POST') return this.go(url, { method: 'POST', pairs, from: form.page.url })
    const u = new URL(url)
    u.search = new URLSearchParams(pairs).toString()
    return this.go(u.href, { from: form.page.url })
  }
}

const identifier = (f) => /username/.test(f.autocomplete) || (/^(text|email)$/.test(f.type) && /identifier|username|handle|login/.test(f.name ?? ''))

// authorize goes through sign-in and consent until the client's URL, by what the pages offer. It answers that URL.
export async function authorize(url, who, { person = new Person(), redirect, deny = false, remember = false, seen = () => {} } = {}) {
  person.stop = (u) => u.href.startsWith(redirect)
  let at = await person.go(url, { site: 'cross-site' })
  for (let steps = 0; steps < 10; steps++) {
    if (at.landed) return at.landed
    const page = at.page
    seen(page)
    const consent = page.forms.flatMap((f) => f.buttons.map((b) => ({ f, b }))).filter(({ b }) => /^(accept|allow|grant|authorize|approve|yes|continue|deny|reject|refuse|no|cancel)$/i.test(b.value) || /^(accept|allow|authori[sz]e|grant|deny|refuse|reject|do(n.t| not) allow)/i.test(b.words))
    const no = consent.find(({ b }) => /deny|reject|refuse|don.t|do not|^no$/i.test(b.value + ' ' + b.words))
    const yes = consent.find((c) => c !== no && !/cancel/i.test(c.b.value + c.b.words))
    const signin = page.form((f) => f.method === 'POST' && f.has('password') && f.field(identifier))
    const alone = page.form((f) => f.method === 'POST' && f.has('password'))
    if (signin || alone) {
      const f = signin ?? alone
      if (signin) f.fill(identifier, who.handle)
      f.fill((x) => x.type === 'password', who.password)
      f.tick((x) => /remember/.test(x.name ?? ''), remember)
      at = await person.send(f)
    } else if (no && yes) {
      const press = deny ? no : yes
      at = await person.send(press.f, press.b)
    } else {
      const named = page.form((f) => f.field(identifier))
      const chooser = page.forms.flatMap((f) => f.buttons.map((b) => ({ f, b }))).find(({ b }) => b.words.includes(who.handle) || b.value === who.did)
      const way = page.links.find((l) => /^(sign in|log in)/i.test(l.words)) ?? page.links.find((l) => /another account|other account/i.test(l.words))
      const waybutton = page.forms.flatMap((f) => f.buttons.map((b) => ({ f, b }))).find(({ b }) => /^(sign in|log in)/i.test(b.words))
      if (chooser) at = await person.send(chooser.f, chooser.b)
      else if (named) at = await person.send(named.fill(identifier, who.handle))
      else if (waybutton) at = await person.send(waybutton.f, waybutton.b)
      else if (way) at = await person.go(way.href, { from: page.url })
      else throw new Error(`nothing to do at ${page}`)
    }
  }
  throw new Error(`it goes in circles at ${person.page}`)
}
