package nbformat

// Major is the version notebooks are upgraded to, and Minor the newest minor version this package knows the rules of.
const (
	Major = 4
	Minor = 5
)

// Notebook is one notebook document in memory. The zero value is not usable: see [New], [Parse] and [FromMap].
type Notebook struct {
	root map[string]any
	size int // of the text it was parsed from, in bytes; 0 = unknown
}

// Cell is one cell of a notebook, with all its fields. It is a view: a change of it changes the notebook.
type Cell map[string]any

// New returns an empty notebook of version 4.5, which [Notebook.Marshal] writes in 72 bytes.
func New() *Notebook {
	return &Notebook{root: map[string]any{
		"cells":          []any{},
		"metadata":       map[string]any{},
		"nbformat":       Int(Major),
		"nbformat_minor": Int(Minor),
	}}
}

// FromMap returns the notebook whose document is root, which it takes over. It joins lines as [Parse] does, but keeps
// transient metadata. Besides the values Parse makes, root may hold int, int64 and float64. The error is a
// [*VersionError] or a [*ValidationError].
func FromMap(root map[string]any) (*Notebook, error) {
	n := &Notebook{root: root}
	major, err := readMajor(root)
	if err != nil {
		return nil, err
	}
	if err := outline(root, major); err != nil {
		return nil, err
	}
	n.join(major)
	return n, nil
}

// Map returns the document itself, not a copy.
func (n *Notebook) Map() map[string]any { return n.root }

// Version returns the version of the notebook, such as 4 and 5. A minor version that is absent or not an integer is 0.
func (n *Notebook) Version() (major, minor int) {
	major, err := readMajor(n.root)
	if err != nil {
		return 0, 0
	}
	minor, _ = integer(n.root["nbformat_minor"])
	return major, minor
}

// Metadata returns the metadata of the notebook to read or change, or nil if it has none.
func (n *Notebook) Metadata() map[string]any { return object(n.root["metadata"]) }

// Cells returns the cells in order. A notebook before version 4 keeps its cells in worksheets: upgrade it first.
func (n *Notebook) Cells() []Cell { return cellsOf(n.root) }

// SetCells replaces all cells.
func (n *Notebook) SetCells(cells []Cell) {
	list := make([]any, len(cells))
	for i, cell := range cells {
		list[i] = map[string]any(cell)
	}
	n.root["cells"] = list
}

// Clone returns a deep copy.
func (n *Notebook) Clone() *Notebook {
	return &Notebook{root: clone(n.root).(map[string]any), size: n.size}
}

// NewCell returns a cell of type "code", "markdown" or "raw" with the fields that version 4.5 requires.
func NewCell(cellType, id, source string) Cell {
	cell := Cell{"cell_type": cellType, "id": id, "metadata": map[string]any{}, "source": source}
	if cellType == "code" {
		cell["execution_count"] = nil
		cell["outputs"] = []any{}
	}
	return cell
}

// ID returns the identifier of the cell, "" if it has none.
func (c Cell) ID() string { return text(c["id"]) }

// Type returns the type of the cell: "code", "markdown" or "raw".
func (c Cell) Type() string { return text(c["cell_type"]) }

// Source returns the text of the cell.
func (c Cell) Source() string { return text(c["source"]) }

// Metadata returns the metadata of the cell to read or change, or nil if it has none.
func (c Cell) Metadata() map[string]any { return object(c["metadata"]) }

// Outputs returns the outputs of a code cell. An element that is not an object, as an invalid notebook may have, is nil.
func (c Cell) Outputs() []map[string]any {
	list, _ := c["outputs"].([]any)
	outputs := make([]map[string]any, len(list))
	for i, output := range list {
		outputs[i] = object(output)
	}
	return outputs
}

// cellsOf returns the cells of a notebook of version 4 or 1, or of a worksheet.
func cellsOf(holder map[string]any) []Cell {
	list, _ := holder["cells"].([]any)
	cells := make([]Cell, len(list))
	for i, cell := range list {
		cells[i] = object(cell)
	}
	return cells
}

// worksheetCells returns the cells of all worksheets of a notebook of version 2 or 3.
func worksheetCells(root map[string]any) []Cell {
	var cells []Cell
	sheets, _ := root["worksheets"].([]any)
	for _, sheet := range sheets {
		cells = append(cells, cellsOf(object(sheet))...)
	}
	return cells
}

// allCells returns the cells of a notebook of any version.
func (n *Notebook) allCells(major int) []Cell {
	if major == 2 || major == 3 {
		return worksheetCells(n.root)
	}
	return n.Cells()
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// integer returns the value of a JSON integer, clamped to 32 bits so that arithmetic on it is safe.
func integer(v any) (i int, ok bool) {
	const limit = 1<<31 - 1
	var wide int64
	switch v := v.(type) {
	case int:
		wide = int64(v)
	case int64:
		wide = v
	case Number:
		if !v.IsInt() {
			return 0, false
		}
		if wide, ok = v.Int64(); !ok {
			wide = int64(max(min(v.Float64(), limit), -limit))
		}
	default:
		return 0, false
	}
	return int(max(min(wide, limit), -limit)), true
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[key] = clone(value)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, value := range v {
			list[i] = clone(value)
		}
		return list
	}
	return v
}
