package nbformat

import (
	"fmt"
	"strings"
	"testing"
)

// largeNotebook returns a file of about 2 MB as notebooks in use are: most of it outputs, and most of these images.
func largeNotebook() []byte {
	image := strings.Repeat("iVBORw0KGgoAAAANSUhEUgAAAA", 1500)
	row := strings.Repeat(`"<td>1.234567</td>\n", `, 200) + `"</table>"`
	var cells []string
	for i := range 40 {
		cells = append(cells,
			fmt.Sprintf(`{"id": "m%d", "cell_type": "markdown", "metadata": {}, "source": ["## Title\n", "Some prose with é and 日本."]}`, i),
			fmt.Sprintf(`{"id": "c%d", "cell_type": "code", "metadata": {"tags": ["a"]}, "execution_count": %d, "source": [%s"plot(x)"], "outputs": [
				{"output_type": "stream", "name": "stdout", "text": ["epoch 1\n", "epoch 2\n"]},
				{"output_type": "display_data", "metadata": {}, "data": {"image/png": "%s", "text/plain": ["<Figure>"]}},
				{"output_type": "execute_result", "execution_count": %d, "metadata": {}, "data": {"text/html": [%s], "text/plain": ["x"]}}]}`,
				i, i, strings.Repeat(`"x = x + 1\n", `, 20), image, i, row))
	}
	return []byte(notebookOf(5, `"kernelspec": {"name": "python3", "display_name": "Python 3"}`, cells...))
}

func benchmark(b *testing.B, run func(data []byte, n *Notebook) error) {
	b.Helper()
	data := largeNotebook()
	n := mustParse(b, string(data))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := run(data, n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseAndValidate(b *testing.B) {
	benchmark(b, func(data []byte, _ *Notebook) error {
		n, err := Parse(data)
		if err != nil {
			return err
		}
		return n.Validate()
	})
}

func BenchmarkMarshal(b *testing.B) {
	benchmark(b, func(_ []byte, n *Notebook) error {
		_, err := n.Marshal()
		return err
	})
}

func BenchmarkMarshalJSON(b *testing.B) {
	benchmark(b, func(_ []byte, n *Notebook) error {
		_, err := n.MarshalJSON()
		return err
	})
}

func BenchmarkDigest(b *testing.B) {
	benchmark(b, func(_ []byte, n *Notebook) error {
		_ = n.Digest([]byte("key"))
		return nil
	})
}
