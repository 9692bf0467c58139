// Runs an editing session and workloads on yjs: JSON {session, workloads} on stdin, JSON of milliseconds and sizes on
// stdout. All is run twice in one process; the second round counts.
// node yjs.mjs <node_modules>
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const Y = await import(pathToFileURL(resolve(process.argv[2], 'yjs', 'dist', 'yjs.mjs')))

function ms (f) {
  globalThis.gc()
  const start = performance.now()
  f()
  return performance.now() - start
}

const median = (f) => Array.from({ length: 5 }, () => ms(f)).sort((a, b) => a - b)[2]

function open (client) {
  const doc = new Y.Doc()
  doc.clientID = client
  return doc
}

function replay (doc, edits) {
  const text = doc.getText('text')
  for (const [at, deleted, inserted] of edits) {
    doc.transact(() => {
      if (deleted > 0) text.delete(at, deleted)
      if (inserted !== '') text.insert(at, inserted)
    })
  }
}

function session (edits) {
  const doc = open(1)
  const out = { replay: ms(() => replay(doc, edits)) }
  const updates = []
  const recorded = open(1)
  recorded.on('update', (u) => updates.push(u))
  replay(recorded, edits)
  const other = open(2)
  out.updates = ms(() => { for (const u of updates) Y.applyUpdate(other, u) })
  let full
  out.encode = median(() => { full = Y.encodeStateAsUpdate(doc) })
  out.load = median(() => Y.applyUpdate(open(1e9), full))
  out.v1 = full.length
  out.v2 = Y.encodeStateAsUpdateV2(doc).length
  out.length = doc.getText('text').length
  return out
}

function change (doc, type, [at, deleted, value]) {
  switch (type) {
    case 'text': {
      const text = doc.getText('root')
      if (deleted > 0) text.delete(at, deleted)
      if (value !== '') text.insert(at, value)
      break
    }
    case 'array': doc.getArray('root').insert(at, Array.isArray(value) ? value : [value]); break
    default: doc.getMap('root').set('v', value)
  }
}

const work = {
  one (w) {
    const a = open(1)
    const b = open(2)
    a.on('update', (u) => Y.applyUpdate(b, u))
    const time = ms(() => { for (const c of w.Edits) change(a, w.Type, c) })
    return [time, b]
  },
  two (w) {
    const a = open(1)
    const b = open(2)
    if (w.Start !== '') a.getText('root').insert(0, w.Start)
    Y.applyUpdate(b, Y.encodeStateAsUpdate(a))
    const updates = [[], []]
    a.on('update', (u, origin) => { if (origin !== 'b') updates[0].push(u) })
    b.on('update', (u, origin) => { if (origin !== 'a') updates[1].push(u) })
    const time = ms(() => {
      for (const c of w.Edits) change(a, w.Type, c)
      for (const c of w.Others) change(b, w.Type, c)
      for (const u of updates[0]) Y.applyUpdate(b, u, 'a')
      for (const u of updates[1]) Y.applyUpdate(a, u, 'b')
    })
    return [time, a]
  },
  many (w) {
    const updates = []
    const docs = w.Edits.map((c, i) => {
      const doc = open(i + 1)
      doc.on('update', (u) => updates.push(u))
      change(doc, w.Type, c)
      return doc
    })
    const got = updates.slice()
    return [ms(() => { for (const u of got) Y.applyUpdate(docs[0], u) }), docs[0]]
  }
}

function workload (w) {
  const [time, doc] = work[w.Kind](w)
  let full
  const encode = median(() => { full = Y.encodeStateAsUpdate(doc) })
  const load = median(() => Y.applyUpdate(open(1e9), full))
  return { time, encode, load, size: full.length }
}

const input = JSON.parse(readFileSync(0))
let out
for (let round = 0; round < 2; round++) {
  out = { session: session(input.session), workloads: input.workloads.map(workload) }
}
process.stdout.write(JSON.stringify(out))
