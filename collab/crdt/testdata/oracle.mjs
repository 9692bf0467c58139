// Runs programs on yjs documents: one JSON program per line of stdin, one JSON result per line of stdout.
// node oracle.mjs <node_modules>
import { createRequire } from 'node:module'
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { resolve } from 'node:path'

const require = createRequire(resolve(process.argv[2], 'noop.js'))
const Y = require('yjs')

const hex = (b) => Buffer.from(b).toString('base64')
const sha = (b) => createHash('sha1').update(b).digest('hex')

function value (v) {
  if (v === null || typeof v !== 'object') return v
  if (Array.isArray(v)) return v.map(value)
  switch (v.$) {
    case 'text': return new Y.Text(v.v)
    case 'array': return Y.Array.from(v.v.map(value))
    case 'map': return new Y.Map(v.v.map(([k, x]) => [k, value(x)]))
    case 'bytes': return new Uint8Array(Buffer.from(v.v, 'base64'))
    case 'undefined': return undefined
    case 'xml': return new Y.XmlElement(v.v)
    case 'xmltext': return new Y.XmlText(v.v)
    case 'doc': return new Y.Doc({ guid: v.v, meta: { a: 1 } })
  }
  return v
}

function find (doc, path) {
  let t = path[0] === 't' ? doc.getText('t') : path[0] === 'a' ? doc.getArray('a') : doc.getMap('m')
  for (const step of path.slice(1)) t = t.get(step)
  return t
}

function act (doc, [path, name, ...args]) {
  const t = find(doc, path)
  switch (name) {
    case 'insert': t.insert(args[0], args[1]); break
    case 'insertf': t.insert(args[0], args[1], { ...args[2] }); break
    case 'embed': t.insertEmbed(args[0], value(args[1]), args[2] ?? undefined); break
    case 'delete': t.delete(args[0], args[1]); break
    case 'format': t.format(args[0], args[1], { ...args[2] }); break
    case 'values': t.insert(args[0], args[1].map(value)); break
    case 'push': t.push(args[0].map(value)); break
    case 'set': t.set(args[0], value(args[1])); break
    case 'unset': t.delete(args[0]); break
    default: throw new Error('unknown action ' + name)
  }
}

const plain = (v) => v instanceof Y.AbstractType ? { $: v.toJSON() } : v instanceof Uint8Array ? { $: hex(v) } : v
const event = (e) => ({
  path: e.path,
  keys: [...e.keys].map(([k, c]) => [k, c.action, plain(c.oldValue)]),
  delta: (e.target instanceof Y.Map ? [] : e.delta).map(op => Array.isArray(op.insert) ? { ...op, insert: op.insert.map(plain) } : op.insert === undefined ? op : { ...op, insert: plain(op.insert) })
})

function content (doc) {
  return { t: doc.getText('t').toDelta().map(op => ({ ...op, insert: plain(op.insert) })), a: doc.getArray('a').toJSON(), m: doc.getMap('m').toJSON() }
}

function run (program) {
  const docs = []
  const undo = []
  const updates = []
  const updates2 = []
  const events = []
  const positions = []
  for (const [name, ...args] of program) {
    switch (name) {
      case 'new': {
        const doc = new Y.Doc({ gc: args[1] })
        doc.clientID = args[0]
        doc.getText('t'); doc.getArray('a'); doc.getMap('m')
        doc.on('update', (u) => updates.push(u))
        doc.on('updateV2', (u) => updates2.push(u))
        const roots = [doc.getText('t'), doc.getArray('a'), doc.getMap('m')]
        if (args[3]) roots.forEach(t => t.observeDeep(es => events.push(es.map(event))))
        undo.push(args[2] ? new Y.UndoManager(roots, { captureTimeout: 0 }) : null)
        docs.push(doc)
        break
      }
      case 'edit': {
        const doc = docs[args[0]]
        doc.transact(() => args[2].forEach(a => act(doc, a)), args[1] || null)
        break
      }
      case 'undo': undo[args[0]].undo(); break
      case 'redo': undo[args[0]].redo(); break
      case 'deliver': Y.applyUpdate(docs[args[0]], updates[args[1]], 'remote'); break
      case 'deliver2': Y.applyUpdateV2(docs[args[0]], updates2[args[1]], 'remote'); break
      case 'full': Y.applyUpdate(docs[args[1]], Y.encodeStateAsUpdate(docs[args[0]]), 'remote'); break
      case 'full2': Y.applyUpdateV2(docs[args[1]], Y.encodeStateAsUpdateV2(docs[args[0]]), 'remote'); break
      case 'sync': Y.applyUpdate(docs[args[1]], Y.encodeStateAsUpdate(docs[args[0]], Y.encodeStateVector(docs[args[1]])), 'remote'); break
      case 'merged': {
        const u = Y.mergeUpdates(args[1].map(i => updates[i]))
        updates.push(u)
        updates2.push(Y.mergeUpdatesV2(args[1].map(i => updates2[i])))
        if (args[0] >= 0) Y.applyUpdate(docs[args[0]], u, 'remote')
        break
      }
      case 'diffed': { // what an update has beyond a document
        const sv = Y.encodeStateVector(docs[args[1]])
        updates.push(Y.diffUpdate(updates[args[0]], sv))
        updates2.push(Y.diffUpdateV2(updates2[args[0]], sv))
        updates.push(Y.encodeStateVectorFromUpdate(updates[args[0]]))
        updates2.push(Y.encodeStateVectorFromUpdateV2(updates2[args[0]]))
        break
      }
      case 'position': {
        const p = Y.createRelativePositionFromTypeIndex(find(docs[args[0]], args[1]), args[2], args[3])
        positions.push({ doc: args[0], p })
        break
      }
      default: throw new Error('unknown step ' + name)
    }
  }
  return {
    updates: updates.map(sha),
    updates2: updates2.map(sha),
    events,
    positions: positions.map(({ doc, p }) => {
      const a = Y.createAbsolutePositionFromRelativePosition(p, docs[doc])
      return [hex(Y.encodeRelativePosition(p)), JSON.stringify(Y.relativePositionToJSON(p)), a === null ? -1 : a.index]
    }),
    docs: docs.map(doc => ({
      content: content(doc),
      sv: hex(Y.encodeStateVector(doc)),
      v1: hex(Y.encodeStateAsUpdate(doc)),
      v2: hex(Y.encodeStateAsUpdateV2(doc)),
      snapshot: hex(Y.encodeSnapshot(Y.snapshot(doc))),
      snapshot2: hex(Y.encodeSnapshotV2(Y.snapshot(doc)))
    }))
  }
}

console.error = () => {}
console.warn = () => {}
console.log = () => {}
for await (const line of createInterface({ input: process.stdin })) {
  let result
  try {
    result = run(JSON.parse(line))
  } catch (err) {
    result = { error: String(err.stack) }
  }
  process.stdout.write(JSON.stringify(result) + '\n')
}
