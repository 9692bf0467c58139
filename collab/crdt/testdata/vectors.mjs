// Writes vectors.json, documents made by yjs with every kind of content: node vectors.mjs <node_modules>
import { createRequire } from 'node:module'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const Y = createRequire(resolve(process.argv[2], 'noop.js'))('yjs')
const b64 = (b) => Buffer.from(b).toString('base64')
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
    xml: name === 'xml' ? d.getXmlFragment('x').toString() : ''
  }
}
writeFileSync(new URL('vectors.json', import.meta.url), JSON.stringify(out, null, 1) + '\n')
