// Runs programs on yjs documents. What is asked and what is answered has its length in four bytes before it. Asked is JSON
// {full, programs}; the answer is, for each program, the MD5 of all that it left, zero if it failed, or with full that
// itself, as JSON. Or {live} is asked, one thing to do with documents that stay; the answer is JSON.
// node oracle.mjs <node_modules>
import { createHash, webcrypto } from 'node:crypto'
import { readSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

// Half of the time went into new buffers, so those of one program are used again in the next, which knows nothing of them.
// Random numbers are not used.
const Bytes = Uint8Array
const pools = new Map() // size to the buffers of it, and how many of them are in use
function PooledBytes (a, b, c) {
  if (typeof a !== 'number' || a > 4096) return a instanceof ArrayBuffer ? new Bytes(a, b, c) : new Bytes(a)
  let pool = pools.get(a)
  if (pool === undefined) pools.set(a, pool = { used: 0, all: [] })
  if (pool.used === pool.all.length) pool.all.push(new Bytes(a))
  return pool.all[pool.used++]
}
Object.setPrototypeOf(PooledBytes, Bytes)
PooledBytes.prototype = Bytes.prototype
Bytes.prototype.constructor = PooledBytes
globalThis.Uint8Array = PooledBytes
webcrypto.getRandomValues = (a) => { for (let i = 0; i < a.length; i++) a[i] = Math.random() * 2 ** 32; return a }

// The build for modules: in the other one every call goes through a getter.
const Y = await import(pathToFileURL(resolve(process.argv[2], 'yjs', 'dist', 'yjs.mjs')))

const base64 = (b) => Buffer.from(b).toString('base64')

function value (v) {
  if (v === null || typeof v !== 'object') return v
  if (Array.isArray(v)) return v.map(value)
  switch (v.$) {
    case 'text': return new Y.Text(v.v)
    case 'array': return Y.Array.from(v.v.map(value))
    case 'map': return new Y.Map(v.v.map(([k, x]) => [k, value(x)]))
    case 'bytes': return new Uint8Array(Buffer.from(v.v, 'base64'))
    case 'undefined': return undefined
    case 'element': return new Y.XmlElement(v.v)
    case 'xmltext': return new Y.XmlText(v.v)
    case 'hook': return new Y.XmlHook(v.v)
    case 'doc': return new Y.Doc({ guid: v.v, meta: { a: 1 } })
  }
  return v
}

function root (doc, name) {
  switch (name) {
    case 't': return doc.getText('t')
    case 'a': return doc.getArray('a')
    case 'm': return doc.getMap('m')
    default: return doc.getXmlFragment('x')
  }
}

// find walks down a path; undefined if it leads nowhere.
function find (doc, path) {
  let t = root(doc, path[0])
  for (let i = 1; i < path.length; i++) {
    if (typeof path[i] === 'number' ? t instanceof Y.Map || path[i] >= t.length : !(t instanceof Y.Map)) return undefined
    t = t.get(path[i])
    if (!(t instanceof Y.AbstractType)) return undefined
  }
  return t
}

// act makes one edit. Places beyond the end are moved to it, as a shortened program may name them.
function act (doc, [path, name, ...args]) {
  const t = find(doc, path)
  if (t === undefined) return
  const text = t instanceof Y.Text
  const xml = t instanceof Y.XmlFragment
  const list = t instanceof Y.Array || xml
  const at = Math.min(args[0], t.length)
  const n = Math.min(args[1], t.length - at)
  if (text) {
    switch (name) {
      case 'insert': t.insert(at, args[1]); break
      case 'insertf': t.insert(at, args[1], { ...args[2] }); break
      case 'embed': t.insertEmbed(at, value(args[1]), args[2] ?? undefined); break
      case 'delete': t.delete(at, n); break
      case 'format': t.format(at, n, { ...args[2] }); break
      case 'delta': t.applyDelta(args[0]); break
      case 'set': t.setAttribute(args[0], value(args[1])); break
      case 'unset': t.removeAttribute(args[0]); break
    }
  } else if (list) {
    switch (name) {
      case 'values': t.insert(at, args[1].map(value)); break
      case 'push': t.push(args[0].map(value)); break
      case 'delete': t.delete(at, n); break
      case 'set': if (t instanceof Y.XmlElement) t.setAttribute(args[0], value(args[1])); break
      case 'unset': if (t instanceof Y.XmlElement) t.removeAttribute(args[0]); break
    }
  } else {
    switch (name) {
      case 'set': t.set(args[0], value(args[1])); break
      case 'unset': t.delete(args[0]); break
      case 'clear': t.clear(); break
    }
  }
}

const plain = (v) => v instanceof Y.AbstractType ? { $: v.toJSON() } : v instanceof Uint8Array ? { $: base64(v) } : v

function op (op) {
  if (Array.isArray(op.insert)) return { ...op, insert: op.insert.map(plain) }
  if (op.insert === undefined || typeof op.insert === 'string') return op
  return { ...op, insert: plain(op.insert) }
}

const event = (e) => ({
  path: e.path,
  keys: [...e.keys].map(([k, c]) => [k, c.action, plain(c.oldValue)]),
  delta: (e.target instanceof Y.Map ? [] : e.delta).map(op)
})

const none = Buffer.alloc(0)

class Run {
  constructor () {
    this.docs = []
    this.undo = []
    this.updates = []
    this.updates2 = []
    this.named = new Map() // number of the step times 64 plus a count, to index
    this.events = []
    this.positions = []
    this.snapshots = new Map()
    this.xml = false
    this.step = 0
    this.emitted = 0
  }

  add (u, u2) {
    this.named.set(this.step * 64 + this.emitted++, this.updates.length)
    this.updates.push(u)
    this.updates2.push(u2)
  }

  open (client, gc, undo, observe, xml, second) {
    const doc = new Y.Doc({ gc, guid: 'd' })
    doc.clientID = client
    const roots = [doc.getText('t'), doc.getArray('a'), doc.getMap('m')]
    if (xml) {
      this.xml = true
      roots.push(doc.getXmlFragment('x'))
    }
    if (second) {
      let first
      doc.on('update', (u) => { first = u })
      doc.on('updateV2', (u) => this.add(first, u))
    } else {
      doc.on('update', (u) => this.add(u, none))
    }
    if (observe) roots.forEach(t => t.observeDeep(es => this.events.push(es.map(event))))
    this.undo.push(undo ? new Y.UndoManager(roots, { captureTimeout: 0 }) : null)
    this.docs.push(doc)
  }

  run ([id, name, a, b, c, d, e, f]) {
    this.step = id
    this.emitted = 0
    const docs = this.docs
    switch (name) {
      case 'new': this.open(a, b, c, d, e, f); break
      case 'edit': docs[a].transact(() => { for (const x of c) act(docs[a], x) }, b || null); break
      case 'undo': this.undo[a]?.undo(); break
      case 'redo': this.undo[a]?.redo(); break
      case 'deliver': if (this.named.has(b)) Y.applyUpdate(docs[a], this.updates[this.named.get(b)], 'remote'); break
      case 'deliver2': if (this.named.has(b)) Y.applyUpdateV2(docs[a], this.updates2[this.named.get(b)], 'remote'); break
      case 'full': Y.applyUpdate(docs[b], Y.encodeStateAsUpdate(docs[a]), 'remote'); break
      case 'full2': Y.applyUpdateV2(docs[b], Y.encodeStateAsUpdateV2(docs[a]), 'remote'); break
      case 'sync': Y.applyUpdate(docs[b], Y.encodeStateAsUpdate(docs[a], Y.encodeStateVector(docs[b])), 'remote'); break
      case 'sync2': Y.applyUpdateV2(docs[b], Y.encodeStateAsUpdateV2(docs[a], Y.encodeStateVector(docs[b])), 'remote'); break
      case 'merged': this.merge(a, b); break
      case 'diffed': this.diff(a, b); break
      case 'position': {
        const t = find(docs[a], b)
        if (t !== undefined) this.positions.push([docs[a], Y.createRelativePositionFromTypeIndex(t, Math.min(c, t.length), d)])
        break
      }
      case 'snapshot': this.snapshots.set(id, [docs[a], Y.snapshot(docs[a])]); break
      case 'restore': {
        const s = this.snapshots.get(a)
        if (s === undefined) break
        const doc = Y.createDocFromSnapshot(s[0], s[1], new Y.Doc({ guid: 'r' }))
        this.add(Y.encodeStateAsUpdate(doc), Y.encodeStateAsUpdateV2(doc))
        break
      }
      default: throw new Error('unknown step ' + name)
    }
  }

  merge (to, which) {
    which = which.filter(u => this.named.has(u)).map(u => this.named.get(u))
    if (which.length === 0) return
    const u = Y.mergeUpdates(which.map(i => this.updates[i]))
    const both = which.every(i => this.updates2[i].length > 0)
    this.add(u, both ? Y.mergeUpdatesV2(which.map(i => this.updates2[i])) : none)
    if (to >= 0) Y.applyUpdate(this.docs[to], u, 'remote')
  }

  diff (which, against) { // what an update has beyond a document
    if (!this.named.has(which)) return
    const u = this.updates[this.named.get(which)]
    const u2 = this.updates2[this.named.get(which)]
    const sv = Y.encodeStateVector(this.docs[against])
    const both = u2.length > 0
    this.add(Y.diffUpdate(u, sv), both ? Y.diffUpdateV2(u2, sv) : none)
    this.add(Y.encodeStateVectorFromUpdate(u), both ? Y.encodeStateVectorFromUpdateV2(u2) : none)
  }

  content (doc) {
    const all = { t: doc.getText('t').toDelta().map(op), a: doc.getArray('a').toJSON(), m: doc.getMap('m').toJSON() }
    if (this.xml) all.x = doc.getXmlFragment('x').toJSON()
    return all
  }

  // result gives all that is compared to bytes, text and list, in order.
  result (out) {
    out.list('updates', this.updates)
    out.list('updates2', this.updates2)
    if (this.events.length > 0) out.json('events', this.events)
    for (const [doc, p] of this.positions) {
      const a = Y.createAbsolutePositionFromRelativePosition(p, doc)
      out.bytes('position', Y.encodeRelativePosition(p))
      out.json('position', [Y.relativePositionToJSON(p), a === null ? -1 : a.index])
    }
    for (const doc of this.docs) this.holds(doc, out)
  }

  holds (doc, out) {
    out.json('content', this.content(doc))
    const snapshot = Y.snapshot(doc)
    out.bytes('state vector', Y.encodeStateVector(doc))
    out.bytes('full update', Y.encodeStateAsUpdate(doc))
    out.bytes('full update of version 2', Y.encodeStateAsUpdateV2(doc))
    out.bytes('snapshot', Y.encodeSnapshot(snapshot))
    out.bytes('snapshot of version 2', Y.encodeSnapshotV2(snapshot))
    out.json('waiting', doc.store.pendingStructs !== null || doc.store.pendingDs !== null)
  }
}

// Summer hashes a result: every part with its length in four bytes before it.
class Summer {
  constructor () { this.buffer = Buffer.allocUnsafe(1 << 20); this.n = 0 }
  room (n) {
    if (this.n + n <= this.buffer.length) return
    const bigger = Buffer.allocUnsafe(2 * (this.n + n))
    this.buffer.copy(bigger, 0, 0, this.n)
    this.buffer = bigger
  }

  bytes (_, b) {
    this.room(b.length + 4)
    this.buffer.writeUInt32LE(b.length, this.n)
    this.buffer.set(b, this.n + 4)
    this.n += 4 + b.length
  }

  list (name, bs) { for (const b of bs) this.bytes(name, b) }

  json (_, v) {
    const s = JSON.stringify(v)
    this.room(3 * s.length + 4)
    const n = this.buffer.utf8Write(s, this.n + 4)
    this.buffer.writeUInt32LE(n, this.n)
    this.n += 4 + n
  }

  sum () {
    const h = createHash('md5').update(this.buffer.subarray(0, this.n)).digest()
    this.n = 0
    return h
  }
}

// Lister keeps a result as it is.
class Lister {
  constructor () { this.parts = [] }
  bytes (name, b) { this.parts.push({ name, bytes: base64(b) }) }
  list (name, bs) { for (const b of bs) this.bytes(name, b) }
  json (name, v) { this.parts.push({ name, json: v }) }
}

function begin () {
  for (const pool of pools.values()) pool.used = 0
  return new Run()
}

// Live documents are edited and get updates one by one.
let live
function liveStep ({ start, step, doc, update, sv, second, whole }) {
  const bytes = (s) => Buffer.from(s, 'base64')
  if (start) live = begin()
  if (step) live.run(step)
  if (update) (second ? Y.applyUpdateV2 : Y.applyUpdate)(live.docs[doc], bytes(update), 'remote')
  const out = new Lister()
  out.list('update', live.updates.splice(0))
  out.list('update2', live.updates2.splice(0))
  if (sv) out.bytes('encoded', (second ? Y.encodeStateAsUpdateV2 : Y.encodeStateAsUpdate)(live.docs[doc], bytes(sv)))
  if (whole) live.holds(live.docs[doc], out)
  return { error: '', parts: out.parts }
}

function run (program, out) {
  const r = begin()
  for (const step of program) r.run(step)
  r.result(out)
}

function send (b) {
  for (let at = 0; at < b.length;) {
    try {
      at += writeSync(1, b, at)
    } catch (err) {
      if (err.code !== 'EAGAIN') throw err
    }
  }
}

function answer (payload) {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(payload.length)
  send(Buffer.concat([head, payload]))
}

// receive reads n bytes; null at the end.
function receive (n) {
  const b = Buffer.alloc(n)
  for (let at = 0; at < n;) {
    let got
    try {
      got = readSync(0, b, at, n - at)
    } catch (err) {
      if (err.code === 'EAGAIN') continue
      throw err
    }
    if (got === 0) return null
    at += got
  }
  return b
}

const quiet = () => {}
console.error = console.warn = console.log = quiet
const summer = new Summer()
for (let head; (head = receive(4)) !== null;) {
  const { full, programs, live } = JSON.parse(receive(head.readUInt32LE()))
  if (live) {
    let parts
    try {
      parts = liveStep(live)
    } catch (err) {
      parts = { error: String(err.stack), parts: [] }
    }
    answer(Buffer.from(JSON.stringify(parts)))
    continue
  }
  const answers = []
  for (const program of programs) {
    const out = full ? new Lister() : summer
    let failed = null
    try {
      run(program, out)
    } catch (err) {
      failed = String(err.stack)
    }
    if (full) {
      answers.push({ error: failed ?? '', parts: failed ? [] : out.parts })
    } else {
      const sum = summer.sum()
      answers.push(failed ? Buffer.alloc(16) : sum)
    }
  }
  answer(full ? Buffer.from(JSON.stringify(answers)) : Buffer.concat(answers))
}
