package nbformat

import (
	"fmt"
	"strings"
)

// notebookOf returns the file of a notebook of version 4 with the given cells in JSON.
func notebookOf(minor int, metadata string, cells ...string) string {
	return fmt.Sprintf(`{"nbformat": 4, "nbformat_minor": %d, "metadata": {%s}, "cells": [%s]}`,
		minor, metadata, strings.Join(cells, ", "))
}

// withOutput returns the file of a notebook of version 4.5 with one code cell that has the output.
func withOutput(output string) string {
	return notebookOf(5, "", `{"id": "a", "cell_type": "code", "metadata": {}, "source": [], "execution_count": null, "outputs": [`+output+`]}`)
}

// notebook3Of returns the file of a notebook of version 3 with the given cells in JSON.
func notebook3Of(cells ...string) string {
	return `{"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "n", "signature": "s"}, "worksheets": [{"cells": [` +
		strings.Join(cells, ", ") + `]}]}`
}

const (
	rawCell      = `{"cell_type": "raw", "metadata": {}, "source": "x"}`
	markdownCell = `{"id": "m", "cell_type": "markdown", "metadata": {}, "source": ["a\n", "b"]}`
	codeCell     = `{"id": "c", "cell_type": "code", "metadata": {}, "source": "1", "outputs": [], "execution_count": 1}`
)

// cellWith returns a Markdown cell of version 4.5 with the given metadata.
func cellWith(metadata string) string {
	return `{"id": "m", "cell_type": "markdown", "metadata": {` + metadata + `}, "source": ""}`
}

// codeWith returns a code cell of version 4.5 with the given metadata.
func codeWith(metadata string) string {
	return `{"id": "c", "cell_type": "code", "metadata": {` + metadata + `}, "source": "", "outputs": [], "execution_count": null}`
}

// ruleSamples returns at least one notebook for each rule of the format.
func ruleSamples() []sample {
	var samples []sample
	for _, group := range [][]sample{versionSamples(), fieldSamples(), outputSamples(), textSamples(), legacySamples()} {
		samples = append(samples, group...)
	}
	return samples
}

func named(pairs ...string) []sample {
	var samples []sample
	for i := 0; i < len(pairs); i += 2 {
		samples = append(samples, sample{pairs[i], []byte(pairs[i+1])})
	}
	return samples
}

func versionSamples() []sample {
	samples := named(
		"no version", `{"cells": []}`,
		"no minor version", `{"nbformat": 4, "metadata": {}, "cells": []}`,
		"minor version is text", `{"nbformat": 4, "nbformat_minor": "5", "metadata": {}, "cells": []}`,
		"negative minor version", notebookOf(-1, ""),
		"no cells", `{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}`,
		"no metadata", `{"nbformat": 4, "nbformat_minor": 5, "cells": []}`,
		"later minor version", `{"nbformat": 4, "nbformat_minor": 99, "metadata": {}, "new": 1, "cells": [
			{"id": "a", "cell_type": "code", "metadata": {}, "source": "", "execution_count": null, "new": {"x": []},
			 "outputs": [{"output_type": "hologram"}, {"output_type": "display_data", "metadata": {}, "data": {"x/y": 1}}]},
			{"cell_type": "diagram", "metadata": {"tags": ["t"]}}]}`,
		"later minor version, broken tags", notebookOf(99, "", `{"cell_type": "diagram", "metadata": {"tags": [""]}}`),
		"later minor version, no id", notebookOf(6, "", rawCell),
		"raw cell without id in 4.4", notebookOf(4, "", rawCell),
		"raw cell without id in 4.5", notebookOf(5, "", rawCell),
		"id in 4.4", notebookOf(4, "", markdownCell),
		"title is a number in 4.1", notebookOf(1, `"title": 3, "authors": 3`),
		"title is a number in 4.2", notebookOf(2, `"title": 3`),
		"authors are text in 4.2", notebookOf(2, `"authors": "me"`),
		"jupyter is text in 4.2", notebookOf(2, "", `{"cell_type": "raw", "metadata": {"jupyter": ""}, "source": ""}`),
		"jupyter is text in 4.3", notebookOf(3, "", `{"cell_type": "raw", "metadata": {"jupyter": ""}, "source": ""}`),
		"execution is text in 4.5", notebookOf(5, "", codeWith(`"execution": ""`)),
		"execution time is a number", notebookOf(5, "", codeWith(`"execution": {"x": 1}`)),
		"execution time", notebookOf(5, "", codeWith(`"execution": {"shell.execute_reply": "t"}`)),
	)
	for minor := range 6 {
		samples = append(samples, sample{fmt.Sprintf("empty 4.%d", minor), []byte(notebookOf(minor, ""))})
	}
	return samples
}

func fieldSamples() []sample {
	return named(
		"unknown field of the notebook", `{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [], "x": 1}`,
		"unknown field of a cell", notebookOf(5, "", `{"id": "a", "cell_type": "raw", "metadata": {}, "source": "", "x": 1}`),
		"unknown cell type", notebookOf(5, "", `{"id": "a", "cell_type": "heading", "metadata": {}, "source": ""}`),
		"no cell type", notebookOf(5, "", `{"id": "a", "metadata": {}, "source": ""}`),
		"no source", notebookOf(5, "", `{"id": "a", "cell_type": "raw", "metadata": {}}`),
		"no cell metadata", notebookOf(5, "", `{"id": "a", "cell_type": "raw", "source": ""}`),
		"no outputs", notebookOf(5, "", `{"id": "a", "cell_type": "code", "metadata": {}, "source": "", "execution_count": 1}`),
		"no execution count", notebookOf(5, "", `{"id": "a", "cell_type": "code", "metadata": {}, "source": "", "outputs": []}`),
		"negative execution count", notebookOf(5, "", `{"id": "a", "cell_type": "code", "metadata": {}, "source": "", "outputs": [], "execution_count": -1}`),
		"execution count 1.0", notebookOf(5, "", `{"id": "a", "cell_type": "code", "metadata": {}, "source": "", "outputs": [], "execution_count": 1.0}`),
		"attachments of code", notebookOf(5, "", `{"id": "a", "cell_type": "code", "metadata": {}, "source": "", "outputs": [], "execution_count": 1, "attachments": {}}`),
		"attachments", notebookOf(5, "", `{"id": "a", "cell_type": "markdown", "metadata": {}, "source": "", "attachments": {"x.svg": {"image/svg+xml": ["<a>\n", "</a>"], "image/png": ["A", "B"]}}}`),
		"attachment with numbers", notebookOf(5, "", `{"id": "a", "cell_type": "markdown", "metadata": {}, "source": "", "attachments": {"x": {"text/plain": [1]}}}`),
		"all cell types", notebookOf(5, "", markdownCell, codeCell, `{"id": "r", "cell_type": "raw", "metadata": {"format": "text/html"}, "source": []}`),
		"id of 64 characters", notebookOf(5, "", strings.Replace(markdownCell, `"m"`, `"`+strings.Repeat("x", 64)+`"`, 1)),
		"id of 65 characters", notebookOf(5, "", strings.Replace(markdownCell, `"m"`, `"`+strings.Repeat("x", 65)+`"`, 1)),
		"empty id", notebookOf(5, "", strings.Replace(markdownCell, `"m"`, `""`, 1)),
		"id with a dot", notebookOf(5, "", strings.Replace(markdownCell, `"m"`, `"a.b"`, 1)),
		"id with a dash", notebookOf(5, "", strings.Replace(markdownCell, `"m"`, `"a-_9Z"`, 1)),
		"repeated id", notebookOf(5, "", markdownCell, codeCell, markdownCell),
		"empty tag", notebookOf(5, "", cellWith(`"tags": [""]`)),
		"tag with a comma", notebookOf(5, "", cellWith(`"tags": ["a,b"]`)),
		"repeated tag", notebookOf(5, "", cellWith(`"tags": ["a", "b", "a"]`)),
		"tags", notebookOf(5, "", cellWith(`"tags": ["a", "b c"], "name": "n"`)),
		"empty name", notebookOf(5, "", cellWith(`"name": ""`)),
		"name of two lines", notebookOf(5, "", cellWith(`"name": "a\nb"`)),
		"scrolled", notebookOf(5, "", codeWith(`"scrolled": "auto", "collapsed": true`)),
		"scrolled is text", notebookOf(5, "", codeWith(`"scrolled": "often"`)),
		"collapsed is a number", notebookOf(5, "", codeWith(`"collapsed": 2`)),
		"kernelspec without display name", notebookOf(5, `"kernelspec": {"name": "x"}`),
		"kernelspec", notebookOf(5, `"kernelspec": {"name": "x", "display_name": "X", "language": 1}`),
		"language without name", notebookOf(5, `"language_info": {}`),
		"codemirror mode is a number", notebookOf(5, `"language_info": {"name": "x", "codemirror_mode": 1}`),
		"transients", notebookOf(5, `"orig_nbformat": 3, "orig_nbformat_minor": 0, "signature": "x"`, codeWith(`"trusted": true`), cellWith(`"trusted": false`)),
	)
}

func outputSamples() []sample {
	return named(
		"display", withOutput(`{"output_type": "display_data", "data": {"text/plain": ["a\n", "b"], "image/png": ["x", "y"]}, "metadata": {}}`),
		"display without metadata", withOutput(`{"output_type": "display_data", "data": {}}`),
		"display without data", withOutput(`{"output_type": "display_data", "metadata": {}}`),
		"display with a count", withOutput(`{"output_type": "display_data", "data": {}, "metadata": {}, "execution_count": 1}`),
		"display with an id", withOutput(`{"output_type": "display_data", "data": {}, "metadata": {}, "transient": {"display_id": "x"}}`),
		"result without count", withOutput(`{"output_type": "execute_result", "data": {}, "metadata": {}}`),
		"result", withOutput(`{"output_type": "execute_result", "data": {}, "metadata": {"isolated": true}, "execution_count": null}`),
		"stream", withOutput(`{"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]}`),
		"stream without name", withOutput(`{"output_type": "stream", "text": ""}`),
		"stream without text", withOutput(`{"output_type": "stream", "name": "stdout"}`),
		"error", withOutput(`{"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["a\nb"]}`),
		"error with text as traceback", withOutput(`{"output_type": "error", "ename": "E", "evalue": "v", "traceback": "a"}`),
		"error with lines of text", withOutput(`{"output_type": "error", "ename": "E", "evalue": "v", "traceback": [], "text": ["a", "b"]}`),
		"output of version 3", withOutput(`{"output_type": "pyout", "text": "a"}`),
		"output without type", withOutput(`{"data": {}, "metadata": {}}`),
		"data is a number", withOutput(`{"output_type": "display_data", "data": {"text/plain": 1}, "metadata": {}}`),
		"data is JSON", withOutput(`{"output_type": "display_data", "data": {"application/json": ["a", "b"], "application/x+json": null, "application/geo+json": 1.50}, "metadata": {}}`),
		"not an application", withOutput(`{"output_type": "display_data", "data": {"text/x+json": {}}, "metadata": {}}`),
		"split types", withOutput(`{"output_type": "display_data", "data": {"text/markdown": "a\nb", "application/javascript": "a\nb", "image/svg+xml": "a\nb", "image/jpeg": "a\nb", "application/pdf": "a\nb", "application/xml": "a\nb"}, "metadata": {}}`),
	)
}

func textSamples() []sample {
	const breaks = `a\rb\r\nc\u000bd\u000ce\u001cf\u001dg\u001eh\u001fi\u0085j\u2028k\u2029l\n\n`
	return named(
		"line breaks", notebookOf(5, "", `{"id": "a", "cell_type": "markdown", "metadata": {"x": "`+breaks+`"}, "source": "`+breaks+`"}`),
		"line breaks in a stream", withOutput(`{"output_type": "stream", "name": "stdout", "text": "`+breaks+`"}`),
		"list of one empty line", notebookOf(5, "", `{"id": "a", "cell_type": "raw", "metadata": {}, "source": [""]}`),
		"floats", notebookOf(5, `"x": [1.0, 1E5, 1e16, 1e15, 123456789012345680.0, 0.0001, 0.00001, 1e400, -1e400, 5e-324, 1.7976931348623157e308, -0.0, 0.1e1, 2.50]`),
		"integers", notebookOf(5, `"x": [-0, 0, 9007199254740993, 123456789012345678901234567890, -1]`),
		"beyond JSON", notebookOf(5, `"x": [NaN, Infinity, -Infinity]`),
		"booleans and null", notebookOf(5, `"x": [true, false, null, {}, []]`),
		"escapes", notebookOf(5, `"x": "\" \\ \/ \b \f \n \r \t \u0000 \u001f \u007f \u00e9 \ud83d\ude00 \u2028 <&>"`),
		"keys in order of code points", notebookOf(5, `"\uff5e": 1, "\ud83d\ude00": 2, "a": 3, "B": 4, "": 5, "\u00e9": 6`),
		"repeated keys", notebookOf(5, `"x": 1, "y": 2, "x": {"z": 3}`),
		"indent of four", "{\r\n    \"cells\": [],\r\n\t\"metadata\": {}, \"nbformat_minor\": 5, \"nbformat\": 4}\n\n",
	)
}

func legacySamples() []sample {
	return named(
		"3: no worksheets", `{"nbformat": 3, "nbformat_minor": 0, "metadata": {}}`,
		"3: no metadata", `{"nbformat": 3, "nbformat_minor": 0, "worksheets": []}`,
		"3: two worksheets", `{"nbformat": 3, "nbformat_minor": 0, "orig_nbformat": 2, "metadata": {"name": "n"}, "worksheets": [
			{"cells": [{"cell_type": "markdown", "source": "a"}], "metadata": {}}, {"cells": [{"cell_type": "raw", "source": "b"}]}]}`,
		"3: code", notebook3Of(`{"cell_type": "code", "language": "python", "collapsed": true, "input": ["a\n", "b"], "prompt_number": 3, "outputs": []}`),
		"3: code without outputs", notebook3Of(`{"cell_type": "code", "language": "python", "input": "a"}`),
		"3: cut lines", notebook3Of(`{"cell_type": "code", "language": "python", "input": ["a", "b"], "outputs": []}`),
		"3: heading", notebook3Of(`{"cell_type": "heading", "level": 2, "source": ["a\n", "b"]}`),
		"3: heading of level 0", notebook3Of(`{"cell_type": "heading", "level": 0, "source": "a"}`),
		"3: heading with rare breaks", notebook3Of(`{"cell_type": "heading", "level": 3, "source": "a\r\nb\u2028c\u001d"}`),
		"3: heading without level", notebook3Of(`{"cell_type": "heading", "source": "a"}`),
		"3: HTML", notebook3Of(`{"cell_type": "html", "source": "<b>"}`),
		"3: unknown cell type", notebook3Of(`{"cell_type": "plaintext", "source": ""}`),
		"3: outputs", notebook3Of(`{"cell_type": "code", "language": "python", "input": "", "outputs": [
			{"output_type": "pyout", "prompt_number": 1, "text": ["a\n", "b"], "html": "h", "svg": "s", "png": "p", "jpeg": "j", "latex": "l", "javascript": "x", "json": "{\"a\": 1.50}", "metadata": {"png": {"width": 1}}},
			{"output_type": "display_data", "text": "t", "application/pdf": "x"},
			{"output_type": "stream", "stream": "stderr", "text": ["a\n", "b\n"]},
			{"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": ["t"]}]}`),
		"3: stream without name", notebook3Of(`{"cell_type": "code", "language": "python", "input": "", "outputs": [{"output_type": "stream", "text": "x"}]}`),
		"3: result without count", notebook3Of(`{"cell_type": "code", "language": "python", "input": "", "outputs": [{"output_type": "pyout", "text": "x"}]}`),
		"3: unknown output field", notebook3Of(`{"cell_type": "code", "language": "python", "input": "", "outputs": [{"output_type": "display_data", "text": "x", "odd": "y"}]}`),
		"3: not ASCII", notebook3Of(`{"cell_type": "markdown", "source": "é😀\u2028\u007f", "metadata": {"trusted": true}}`),
		"2", `{"nbformat": 2, "metadata": {"name": "n"}, "worksheets": [{"cells": [
			{"cell_type": "code", "language": "python", "collapsed": false, "input": ["a", "b"], "outputs": [{"output_type": "stream", "text": ["x", "y"]}]},
			{"cell_type": "markdown", "source": ["a", "b"]}]}]}`,
		"1", `{"cells": [{"cell_type": "code", "code": "a\nb", "prompt_number": 2}, {"cell_type": "text", "text": "x"}]}`,
		"1: unknown cell type", `{"cells": [{"cell_type": "markdown"}]}`,
	)
}
