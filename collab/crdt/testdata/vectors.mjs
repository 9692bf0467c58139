// Writes vectors.json, documents made by yjs with every kind of content: node vectors.mjs <node_modules>
import { createRequire } from 'node:module'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const Y = createRequire(resolve(process.argv[2], 'noop.js'))('yjs')
const b64 = (b) => Buffer.from(b).toString('base64')

// What one document sends for four edits, of which the last deletes.
const updates = []
{
  const d = new Y.Doc()
  d.clientID = 1
  d.on('update', u => updates.push(u))
  for (const s of ['a', 'b', 'c']) d.getText('t').insert(d.getText('t').length, s)
  d.getText('t').delete(0, 2)
}

const cases = {
  xml: d => {
    const f = d.getXmlFragment('x')
    const p = new Y.XmlElement('P')
    p.setAttribute('class', 'a')
    const text = new Y.XmlText('hello')
    f.insert(0, [p, new Y.XmlHook('hook')])
    p.insert(0, [text, new Y.XmlElement('br')])
    text.format(1, 2, { b: {} })
    p.delete(1, 1)
  },
  subdocuments: d => {
    d.getMap('m').set('a', new Y.Doc({ guid: 'one', autoLoad: true, gc: false, meta: { k: 1 } }))
    d.getArray('a').insert(0, [new Y.Doc({ guid: 'two' }), 1])
    d.getMap('m').set('a', new Y.Doc({ guid: 'three' }))
  },
  embeds: d => {
    const t = d.getText('t')
    t.insert(0, 'abc', { b: true })
    t.insertEmbed(1, { image: 'x', '2': 1 }, { w: 1.5 })
    t.insertEmbed(2, new Y.Map([['k', 1]]))
    t.setAttribute('lang', 'en')
  },
  values: d => d.getArray('a').insert(0, [1, -0, 1.1, 2 ** 31, null, true, 'é😀', { a: [1, { b: null }] }, new Uint8Array([1, 2])]),
  binary: d => d.getMap('m').set('k', new Uint8Array([0, 255])),
  string: d => {
    d.getText('t').insert(0, 'a😀b')
    d.getText('t').insert(2, 'x')
  },
  format: d => {
    d.getText('t').insert(0, 'abc')
    d.getText('t').format(0, 2, { b: true, link: { href: 'u' } })
    d.getText('t').format(1, 1, { b: null })
  },
  types: d => d.getArray('a').insert(0, [new Y.Array(), new Y.Map(), new Y.Text('t'), new Y.XmlElement('e'),
    new Y.XmlFragment(), new Y.XmlHook('h'), new Y.XmlText('x')]),
  'legacy JSON': d => Y.applyUpdate(d, Buffer.from('0101010002010161030131097b2262223a5b315d7d09756e646566696e656400', 'hex')),
  deleted: d => {
    d.getText('t').insert(0, 'abcdef')
    d.getText('t').delete(2, 2)
  },
  'gap, structs wait': d => Y.applyUpdate(d, Y.mergeUpdates([updates[0], updates[2]])),
  'deletions wait': d => Y.applyUpdate(d, updates[3]),
  'conflicts': d => {
    d.getText('t').insert(0, 'ab')
    const other = new Y.Doc()
    other.clientID = 300
    Y.applyUpdate(other, Y.encodeStateAsUpdate(d))
    other.getText('t').insert(1, 'xy')
    d.getText('t').insert(1, 'cd')
    d.getText('t').delete(0, 1)
    Y.applyUpdate(d, Y.encodeStateAsUpdate(other))
  },
  collected: d => {
    const m = d.getMap('m')
    m.set('k', new Y.Array())
    m.get('k').insert(0, [1, 2, new Y.Text('x')])
    m.delete('k')
    d.getText('t').insert(0, 'abcdef')
    d.getText('t').delete(1, 3)
  }
}
const out = {}
for (const [name, make] of Object.entries(cases)) {
  const d = new Y.Doc({ guid: 'vector' })
  d.clientID = 1
  make(d)
  const sv = new Map([[1, 2]])
  out[name] = {
    v1: b64(Y.encodeStateAsUpdate(d)),
    v2: b64(Y.encodeStateAsUpdateV2(d)),
    tail: b64(Y.encodeStateAsUpdate(d, Y.encodeStateVector(sv))),
    sv: b64(Y.encodeStateVector(d)),
    snapshot: b64(Y.encodeSnapshot(Y.snapshot(d))),
    snapshot2: b64(Y.encodeSnapshotV2(Y.snapshot(d))),
    xml: name === 'xml' ? d.getXmlFragment('x').toString() : ''
  }
}
writeFileSync(new URL('vectors.json', import.meta.url), JSON.stringify(out, null, 1) + '\n')
