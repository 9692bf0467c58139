package jupyterapi

import (
	"net/http"
	"slices"
	"strings"
)

// getSpecification answers GET /api/spec.yaml: the routes of this server, made from its own table.
func getSpecification(c *call) error {
	var b strings.Builder
	b.WriteString("openapi: 3.0.3\ninfo:\n  title: Jupyter Drive\n  version: " + quoteYAML(c.s.opts.Version) + "\n")
	b.WriteString("servers:\n  - url: " + quoteYAML(c.s.base) + "\npaths:\n")
	for _, r := range c.s.routes {
		if !strings.HasPrefix(r.pattern, "/api") || r.style == socketStyle {
			continue
		}
		b.WriteString("  " + quoteYAML(r.pattern) + ":\n")
		describeParameters(&b, r)
		for _, method := range sortedMethods(r.methods) {
			e := r.methods[method]
			b.WriteString("    " + strings.ToLower(method) + ":\n")
			if e.need.level == authorized {
				b.WriteString("      description: " + quoteYAML("needs "+string(e.need.action)+" on "+string(e.need.kind)) + "\n")
			}
			b.WriteString("      responses:\n        default:\n          description: JSON, or an error with message and reason\n")
		}
	}
	c.w.Header().Set("Content-Type", "text/x-yaml")
	c.w.WriteHeader(http.StatusOK)
	_, err := c.w.Write([]byte(b.String()))
	return ended(err)
}

func describeParameters(b *strings.Builder, r *route) {
	if len(r.names) == 0 {
		return
	}
	b.WriteString("    parameters:\n")
	for _, name := range r.names {
		b.WriteString("      - name: " + name + "\n        in: path\n        required: true\n        schema:\n          type: string\n")
	}
}

func sortedMethods(m methods) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// quoteYAML returns s as a YAML string: JSON strings are YAML.
func quoteYAML(s string) string { return string(appendString(nil, s)) }
