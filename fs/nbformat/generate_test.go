package nbformat

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"
)

// sample is one notebook file of the corpus that the tests and Python look at.
type sample struct {
	name string
	data []byte
}

// raw is a piece of JSON that the generator writes as it is.
type raw string

// corpus returns size samples: one for each rule of the format, then generated ones, the same for the same seed.
func corpus(seed uint64, size int) []sample {
	samples := ruleSamples()
	g := &generator{rand.New(rand.NewPCG(seed, 0))}
	for i := len(samples); i < size; i++ {
		name, document := g.notebook()
		samples = append(samples, sample{fmt.Sprintf("generated %d, %s", i, name), g.encode(document)})
	}
	return samples
}

// generator makes notebooks as many programs write them, some of them broken.
type generator struct{ *rand.Rand }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) notebook() (name string, document map[string]any) {
	minor := []int{-3, 0, 1, 2, 3, 4, 5, 5, 5, 99}[g.IntN(10)]
	if minor < 0 {
		name, document = "3.0", g.notebook3()
	} else {
		name, document = fmt.Sprintf("4.%d", minor), g.notebook4(minor)
	}
	if g.chance(40) {
		name += " broken"
		g.damage(document)
	}
	return name, document
}

func (g *generator) notebook4(minor int) map[string]any {
	cells := make([]any, g.IntN(6))
	for i := range cells {
		cells[i] = g.cell4(minor, i)
	}
	metadata := map[string]any{}
	g.maybe(metadata, "kernelspec", map[string]any{"name": "python3", "display_name": g.text(), "language": "python"})
	g.maybe(metadata, "language_info", map[string]any{"name": "python", "codemirror_mode": g.pick("ipython", map[string]any{"version": 3})})
	g.maybe(metadata, "title", g.pick(g.text(), 3))
	g.maybe(metadata, "authors", g.pick([]any{map[string]any{"name": g.text()}}, "me"))
	g.maybe(metadata, "orig_nbformat", 3)
	g.maybe(metadata, "signature", "sha256:00")
	g.maybe(metadata, "custom", g.any(3))
	return map[string]any{"nbformat": 4, "nbformat_minor": minor, "metadata": metadata, "cells": cells}
}

func (g *generator) cell4(minor, i int) map[string]any {
	metadata := map[string]any{}
	g.maybe(metadata, "tags", []any{"a", g.pick("b", "a,b", "a", "")})
	g.maybe(metadata, "name", g.pick("name", "", "two\nlines"))
	g.maybe(metadata, "jupyter", g.pick(map[string]any{"source_hidden": true}, true))
	g.maybe(metadata, "execution", map[string]any{"iopub.status.busy": g.pick("2026-01-01T00:00:00Z", 1)})
	g.maybe(metadata, "scrolled", g.pick(true, "auto", "no"))
	g.maybe(metadata, "collapsed", g.pick(false, "no"))
	g.maybe(metadata, "trusted", true)
	g.maybe(metadata, "custom", g.any(3))
	cell := map[string]any{"metadata": metadata, "source": g.lines()}
	switch {
	case minor >= 5 && !g.chance(10):
		cell["id"] = fmt.Sprintf("cell-%d_%c", i-g.IntN(2)*g.IntN(2), 'A'+rune(i))
		if g.chance(10) {
			cell["id"] = g.pick("same", "has space", "", strings.Repeat("x", 65), strings.Repeat("y", 64), 5, nil)
		}
	case minor < 5 && g.chance(3):
		cell["id"] = "early"
	}
	cell["cell_type"] = g.pick("code", "code", "markdown", "raw")
	if minor > 5 && g.chance(20) {
		cell["cell_type"] = "diagram"
	}
	if cell["cell_type"] == "code" {
		cell["execution_count"] = g.pick(nil, 0, 7)
		outputs := make([]any, g.IntN(4))
		for i := range outputs {
			outputs[i] = g.output4()
		}
		cell["outputs"] = outputs
	} else {
		g.maybe(cell, "attachments", map[string]any{"image.png": map[string]any{"image/png": g.text(), "text/plain": g.lines()}})
	}
	return cell
}

func (g *generator) output4() map[string]any {
	data := map[string]any{}
	for _, mime := range []string{"text/plain", "text/html", "image/svg+xml", "application/javascript", "image/png"} {
		g.maybe(data, mime, g.lines())
	}
	g.maybe(data, "application/vnd.plot.v1+json", g.any(4))
	g.maybe(data, "application/json", []any{"a", "b"})
	switch g.IntN(4) {
	case 0:
		return map[string]any{"output_type": "execute_result", "data": data, "metadata": map[string]any{}, "execution_count": g.pick(nil, 3)}
	case 1:
		return map[string]any{"output_type": "display_data", "data": data, "metadata": map[string]any{"image/png": g.any(2)}}
	case 2:
		return map[string]any{"output_type": "stream", "name": g.pick("stdout", "stderr"), "text": g.lines()}
	}
	return map[string]any{"output_type": "error", "ename": "E", "evalue": g.text(), "traceback": []any{g.text(), g.text()}}
}

func (g *generator) notebook3() map[string]any {
	sheets := make([]any, g.IntN(3))
	for i := range sheets {
		cells := make([]any, g.IntN(5))
		for j := range cells {
			cells[j] = g.cell3()
		}
		sheet := map[string]any{"cells": cells}
		g.maybe(sheet, "metadata", map[string]any{})
		sheets[i] = sheet
	}
	root := map[string]any{"nbformat": 3, "nbformat_minor": 0, "worksheets": sheets}
	root["metadata"] = map[string]any{"name": g.text(), "signature": "sha256:00", "custom": g.any(2)}
	g.maybe(root, "orig_nbformat", 2)
	return root
}

func (g *generator) cell3() map[string]any {
	cell := map[string]any{}
	g.maybe(cell, "metadata", map[string]any{"custom": g.any(2), "trusted": true})
	if g.chance(50) {
		cell["source"] = g.lines3()
		cell["cell_type"] = g.pick("markdown", "html", "raw", "heading")
		if cell["cell_type"] == "heading" {
			cell["level"] = 1 + g.IntN(6)
		}
		return cell
	}
	cell["cell_type"] = "code"
	cell["language"] = "python"
	cell["input"] = g.lines3()
	g.maybe(cell, "collapsed", true)
	g.maybe(cell, "prompt_number", g.pick(nil, 4))
	outputs := make([]any, g.IntN(4))
	for i := range outputs {
		outputs[i] = g.output3()
	}
	cell["outputs"] = outputs
	return cell
}

func (g *generator) output3() map[string]any {
	output := map[string]any{}
	for _, key := range []string{"text", "html", "svg", "latex", "javascript", "png", "jpeg"} {
		g.maybe(output, key, g.lines3())
	}
	g.maybe(output, "json", `{"a": [1.50, "x"]}`)
	g.maybe(output, "text/x-custom", g.lines3())
	g.maybe(output, "metadata", map[string]any{"png": map[string]any{"width": 3}})
	switch g.IntN(4) {
	case 0:
		output["output_type"] = "pyout"
		output["prompt_number"] = 2
	case 1:
		output["output_type"] = "display_data"
	case 2:
		return map[string]any{"output_type": "stream", "stream": "stderr", "text": g.lines3()}
	case 3:
		return map[string]any{"output_type": "pyerr", "ename": "E", "evalue": "", "traceback": []any{g.text()}}
	}
	return output
}

// damage breaks one object somewhere in the document.
func (g *generator) damage(v any) {
	for {
		var inner []any
		switch v := v.(type) {
		case map[string]any:
			if g.chance(25) && len(v) > 0 {
				g.damageObject(v)
				return
			}
			for _, key := range slices.Sorted(maps.Keys(v)) {
				inner = append(inner, v[key])
			}
		case []any:
			inner = v
		}
		if len(inner) == 0 {
			return
		}
		v = inner[g.IntN(len(inner))]
	}
}

func (g *generator) damageObject(m map[string]any) {
	key := slices.Sorted(maps.Keys(m))[g.IntN(len(m))]
	switch {
	case key == "nbformat" || key == "nbformat_minor":
		m["surprise"] = 1
	case g.chance(35):
		delete(m, key)
	case g.chance(40):
		m["surprise"] = g.any(1)
	default:
		m[key] = g.pick(nil, true, 1, -1, raw("1.0"), "text", []any{}, []any{1}, []any{"a", "b\n"}, map[string]any{}, map[string]any{"x": 1})
	}
}

func (g *generator) maybe(m map[string]any, key string, v any) {
	if g.chance(25) {
		m[key] = v
	}
}

func (g *generator) pick(choices ...any) any { return choices[g.IntN(len(choices))] }

func (g *generator) text() string {
	pieces := []string{"a", "Z9 ", "é", "日本", "😀", `"`, `\`, "/", "<&>", "\t", "\x01", "\x7f", "\u2028", "\u0085", "\ufeff", "\U0010ffff", "#"}
	var b strings.Builder
	for range g.IntN(6) {
		b.WriteString(pieces[g.IntN(len(pieces))])
	}
	return b.String()
}

// lines returns text of several lines, as a string or as an array.
func (g *generator) lines() any {
	var lines []any
	for range g.IntN(5) {
		end := g.pick("\n", "\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\u0085", "\u2028", "\u2029", "").(string)
		lines = append(lines, g.text()+end)
	}
	if g.chance(50) {
		return append([]any{}, lines...)
	}
	return fmt.Sprint(append([]any{""}, lines...)...)
}

// lines3 returns lines as old writers left them, some with their ends cut.
func (g *generator) lines3() any {
	if g.chance(60) {
		return g.lines()
	}
	return []any{"one", "two " + g.text(), "", "four"}
}

func (g *generator) any(depth int) any {
	if depth == 0 || g.chance(60) {
		return g.pick(nil, true, false, g.text(), raw("-0"), raw("-0.0"), raw("1.0"), raw("1E5"), raw("1e16"), raw("0.00001"),
			raw("123456789012345678901234567890"), raw("1e400"), raw("NaN"), raw("-Infinity"), raw("5e-324"),
			raw("0.1000000000000000055511151231257827"), raw("[]"), raw("{}"), raw(`{"k":1,"k":2}`), g.Int64(), g.Float64())
	}
	if g.chance(50) {
		return []any{g.any(depth - 1), g.any(depth - 1)}
	}
	return map[string]any{"b": g.any(depth - 1), "é": g.any(depth - 1), "\uff5e": 1, "😀": g.any(depth - 1), "B": nil}
}

// encode writes the document in one of the styles of the many programs that write notebooks.
func (g *generator) encode(document any) []byte {
	var b strings.Builder
	g.write(&b, document, g.pick("", " ", "\n", "\r\n\t").(string), g.chance(30))
	return []byte(b.String())
}

func (g *generator) write(b *strings.Builder, v any, space string, ascii bool) {
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		g.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		b.WriteString("{" + space)
		for i, key := range keys {
			if i > 0 {
				b.WriteString("," + space)
			}
			g.write(b, key, space, ascii)
			b.WriteString(space + ":")
			g.write(b, v[key], space, ascii)
		}
		b.WriteString("}")
	case []any:
		b.WriteString("[")
		for i, item := range v {
			if i > 0 {
				b.WriteString(space + ",")
			}
			g.write(b, item, space, ascii)
		}
		b.WriteString(space + "]")
	case string:
		g.writeString(b, v, ascii)
	case nil:
		b.WriteString("null")
	default:
		fmt.Fprint(b, v)
	}
}

func (g *generator) writeString(b *strings.Builder, s string, ascii bool) {
	e := encoder{ascii: ascii}
	if !utf8.ValidString(s) {
		panic("the generator makes valid strings only")
	}
	e.string(s)
	text := string(e.buf)
	if g.chance(20) {
		text = strings.ReplaceAll(text, "/", `\/`)
	}
	b.WriteString(text)
}
