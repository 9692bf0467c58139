// Writes vectors.json, messages made by y-protocols: node vectors.mjs <node_modules>
import { createRequire } from 'node:module'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const require = createRequire(resolve(process.argv[2], 'noop.js'))
const Y = require('yjs')
const sync = require('y-protocols/sync')
const awareness = require('y-protocols/awareness')
const encoding = require('lib0/encoding')

const b64 = (b) => Buffer.from(b).toString('base64')
const message = (write) => {
  const e = encoding.createEncoder()
  write(e)
  return b64(encoding.toUint8Array(e))
}

const doc = new Y.Doc()
doc.clientID = 1
doc.getText('t').insert(0, 'hello')
const other = new Y.Doc()
other.clientID = 2
Y.applyUpdate(other, Y.encodeStateAsUpdate(doc))
other.getText('t').insert(5, '!')

// Each step of awareness: what is done, what is sent of all clients then, and all states.
const watched = new Y.Doc()
watched.clientID = 7
const a = new awareness.Awareness(watched)
clearInterval(a._checkInterval)
const steps = []
const changes = []
a.on('update', ({ added, updated, removed }, origin) => changes.push({ added, updated, removed, origin }))
const step = (name, arg, f) => {
  f()
  steps.push({
    name,
    arg,
    changes: changes.splice(0),
    all: b64(awareness.encodeAwarenessUpdate(a, [...a.meta.keys()].sort((x, y) => x - y))),
    states: Object.fromEntries(a.getStates())
  })
}
const update = (...entries) => message(e => {
  encoding.writeVarUint(e, entries.length)
  for (const [client, clock, state] of entries) {
    encoding.writeVarUint(e, client)
    encoding.writeVarUint(e, clock)
    encoding.writeVarString(e, JSON.stringify(state))
  }
})
const apply = (...entries) => {
  const u = update(...entries)
  step('apply', u, () => awareness.applyAwarenessUpdate(a, Buffer.from(u, 'base64'), 'peer'))
}
const local = (state) => step('local', JSON.stringify(state), () => a.setLocalState(state))
const remove = (...clients) => step('remove', JSON.stringify(clients), () => awareness.removeAwarenessStates(a, clients, 'gone'))

local({ user: { name: 'é😀' } })
apply([9, 1, { cursors: [{ anchor: 1, head: 2 }] }], [8, 3, {}])
apply([9, 1, { old: true }])
apply([9, 2, { cursors: [] }], [8, 3, null])
apply([8, 3, { late: true }])
apply([8, 4, { back: true }])
apply([7, 50, null])
apply([7, 60, { spoofed: true }])
apply([5, 1, null])
remove(9, 4)
apply([9, 2, { cursors: [1] }])
apply([9, 3, { cursors: [1] }])
local(null)
apply([7, 70, null])
local({ again: 1 })
remove(7, 8)

writeFileSync(new URL('vectors.json', import.meta.url), JSON.stringify({
  doc: b64(Y.encodeStateAsUpdate(doc)),
  other: b64(Y.encodeStateAsUpdate(other)),
  step1: message(e => sync.writeSyncStep1(e, doc)),
  step2: message(e => sync.writeSyncStep2(e, other, Y.encodeStateVector(doc))),
  update: message(e => sync.writeUpdate(e, Y.encodeStateAsUpdate(doc))),
  steps
}, null, 1) + '\n')
process.exit(0)
