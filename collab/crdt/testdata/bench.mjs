// Measures yjs on the edits that stdin lists as JSON [[index, deleted, inserted], …]: node bench.mjs <node_modules>
// Prints the second of two rounds as JSON: milliseconds, and bytes.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

const Y = createRequire(resolve(process.argv[2], 'noop.js'))('yjs')
const edits = JSON.parse(readFileSync(0, 'utf8'))
const time = (f) => { const t = performance.now(); f(); return performance.now() - t }

let result
for (let round = 0; round < 2; round++) {
  result = {}
  const edit = (doc) => {
    const text = doc.getText('text')
    for (const [at, deleted, inserted] of edits) {
      if (deleted > 0) text.delete(at, deleted)
      if (inserted !== '') text.insert(at, inserted)
    }
  }
  const doc = new Y.Doc()
  doc.clientID = 1
  result.replay = time(() => edit(doc))
  const recorded = new Y.Doc()
  recorded.clientID = 1
  const updates = []
  recorded.on('update', u => updates.push(u))
  edit(recorded)
  const other = new Y.Doc()
  other.clientID = 2
  result.updates = time(() => updates.forEach(u => Y.applyUpdate(other, u)))
  let full
  result.encode = time(() => { full = Y.encodeStateAsUpdate(doc) })
  const loaded = new Y.Doc()
  result.load = time(() => Y.applyUpdate(loaded, full))
  result.v1 = full.length
  result.v2 = Y.encodeStateAsUpdateV2(doc).length
  result.length = loaded.getText('text').length
}
process.stdout.write(JSON.stringify(result))
