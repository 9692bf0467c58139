// Applies an update to a document of yjs and prints how many items were come by in search of a place for others.
// node scanned.mjs <folder with a copy of yjs.mjs that counts, and node_modules> < update
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

globalThis.scanned = 0
const Y = await import(pathToFileURL(resolve(process.argv[2], 'yjs.mjs')))
const doc = new Y.Doc()
Y.applyUpdate(doc, readFileSync(0))
if (doc.store.pendingStructs !== null) throw new Error('structs wait')
process.stdout.write(String(globalThis.scanned))
